"""What a command loads: the start of a process is most of what a short command costs."""

import json
import os
import subprocess
import sys

import pytest
from receipt_case import make_case

from gateway.founding import found
from gateway.receipt_json import to_json

MODELS = {"fhir.resources", "fhir_core", "pydantic"}
SERVED = {"flask", "gunicorn", "werkzeug", "apscheduler", "prometheus_client", "google", "requests"}
SPOKEN = {"structlog", "rich", "pygments"}
DATABASE = {"sqlalchemy", "sqlite3", "alembic", "psycopg"}
OTHER_DATABASE = {"alembic", "psycopg", "sqlalchemy.dialects.postgresql"}
# One command in a process of its own; ends with the modules that are loaded by then, which no handler that ends it can miss.
PROGRAM = """
import json, sys
from gateway.cli import main
try:
    main(prog_name="fhir-anchor")
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def loaded(*arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_ANCHOR_")}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_loads_next_to_nothing():
    assert not loaded("--help") & (MODELS | SERVED | SPOKEN | DATABASE | {"cryptography", "nacl", "jobs"})


@pytest.mark.parametrize("independent", [(), ("--independent",)], ids=["first", "independent"])
def test_a_receipt_is_verified_without_database_server_or_storage(tmp_path, independent):
    case = make_case()
    (tmp_path / "receipt.json").write_bytes(to_json(case.receipt))
    (tmp_path / "genesis.json").write_bytes(case.genesis)
    modules = loaded("receipt", "verify", tmp_path / "receipt.json", "--genesis", tmp_path / "genesis.json", *independent)
    assert "gateway.verifiers" in modules
    assert not modules & (MODELS | SERVED | SPOKEN | DATABASE)


def test_what_opens_the_gateway_loads_neither_models_nor_servers_nor_migrations(tmp_path):
    home = tmp_path / "gateway"
    found(home, delegates=1, slot_seconds=1, chosen={}, now=1_790_000_000, random=os.urandom)
    for arguments in (("party", "register", "institution", "Hospital", "--out", tmp_path / "hospital.json"), ("ledger", "status")):
        modules = loaded("--home", home, *arguments)
        assert "sqlalchemy" in modules
        assert not modules & (MODELS | SERVED | SPOKEN | OTHER_DATABASE), arguments
