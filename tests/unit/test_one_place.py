"""What is claimed to stand in one place does: labels of derivations and signatures, the tree of errors."""

import importlib
import pkgutil
import re
from pathlib import Path

import gateway
from gateway import errors

ROOT = Path(gateway.__file__).parent
LABEL = re.compile(r'b"fhir-anchor/[a-z0-9-]+/v\d')


def test_every_label_of_the_gateway_stands_with_the_primitives():
    """The independent verifier shares no code, so it has copies."""
    found = {path for path in ROOT.rglob("*.py") if LABEL.search(path.read_text())}
    assert {path for path in found if path.parent.name != "independent"} == {ROOT / "vault/primitives.py"}
    labels = re.findall(r'= (b"fhir-anchor/[^"]+")', (ROOT / "vault/primitives.py").read_text())
    assert len(labels) == len(set(labels)) > 15


def test_every_error_stands_in_the_tree():
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not re.search(r"__main__|migrations|independent", module.name):
            importlib.import_module(module.name)
    known = errors.__doc__ + importlib.import_module("gateway.vault.errors").__doc__
    assert [kind.__name__ for kind in _below(errors.GatewayError) if kind.__name__ not in known] == []


def _below(kind):
    for child in kind.__subclasses__():
        if child.__module__.startswith("gateway."):
            yield child
        yield from _below(child)
