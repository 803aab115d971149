"""The wheel holds every file of the packages, and a gateway can be made from it where the project's folder is not."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "chain", "fhir_adapters", "gateway", "jobs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built offline with the pinned setuptools, from a copy: a build leaves files in its source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (*PACKAGES, "requirements"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory):
    """`fhir-anchor` of an environment that has the wheel, and the dependencies from this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False)
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", folder / "bin" / "python", wheel],
        check=True,
        env={**os.environ, "UV_CACHE_DIR": str(folder / "cache")},
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files are not read from here
    return folder / "bin" / "fhir-anchor"


def test_it_holds_every_file_of_the_packages(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {str(path.relative_to(ROOT)) for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    assert held == {name for name in ours if "__pycache__" not in name}
    assert {f"{name}/py.typed" for name in PACKAGES} <= held


def test_it_says_what_it_needs_and_under_which_licence(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = archive.read(name).decode()
    needed = [line.split("#")[0].strip() for line in (ROOT / "requirements" / "run.in").read_text().splitlines()]
    assert metadata.count("Requires-Dist:") == len([line for line in needed if line])
    assert "License-Expression: Apache-2.0" in metadata
    assert any(n.endswith("/licenses/LICENSE") for n in archive.namelist())


def test_a_gateway_is_made_from_it(program, tmp_path):
    def run(*arguments):
        done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import gateway, chain.tables; print(gateway.__file__); print(chain.tables.__file__)"
    found = subprocess.run([program.parent / "python", "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert all(str(program.parents[1]) in line for line in found.splitlines())
    assert "fhir-anchor" in run("--version")
    made = json.loads(run("--home", "gw", "init", "--json"))  # migrations of both databases
    assert run("--home", "gw", "ledger", "status")
    assert (tmp_path / made["genesis"]).is_file()
