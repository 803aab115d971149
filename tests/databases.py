"""Where the gateways and ledgers of a test keep their rows: files in its folder, or databases of a PostgreSQL server of the tests' own.

Tests marked `both_databases` run once on each; `url` is what they open. The same folder and name are the same database within a test, also in
the processes that it starts, which find it in their environment.
"""

import os
import tempfile
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path

from chain.store import LedgerStore
from gateway.index.database import create_index

_numbers = count(1)
_server = None  # of the running test, where it runs on PostgreSQL
_named = set()  # variables of the environment


def url(folder, name):
    """Of the "gateway" database, with its tables, or the "ledger", still to be made, that lie in `folder`."""
    variable = f"TESTS_DATABASE_{sha256(str(folder / name).encode()).hexdigest()}"
    if _server is not None and variable not in os.environ:
        _named.add(variable)
        os.environ[variable] = _server.create(f"{name}-{next(_numbers)}", f"new-{name}")
    return os.environ.get(variable) or f"sqlite:///{folder / name}.db"


def new_gateway(folder):
    """The "gateway" database in `folder`, with its tables, made where there is none; its address. Both kinds are copied from one that
    the migrations made.
    """
    file = folder / "gateway.db"
    if _server is None and not file.exists():
        file.write_bytes(_migrated())
    return url(folder, "gateway")


@cache
def _migrated():
    with tempfile.TemporaryDirectory() as folder:
        create_index(f"sqlite:///{folder}/gateway.db")
        [file] = Path(folder).iterdir()
        return file.read_bytes()


def chosen():
    """What `init` is told of databases: nothing, or two that are empty."""
    if _server is None:
        return {}
    return {f"{setting}_url": _server.create(f"{setting}-{next(_numbers)}") for setting in ("database", "ledger")}


def options():
    """The same as options of `init` and of `backup restore`."""
    return [part for name, url in chosen().items() for part in (f"--{name.replace('_', '-')}", url)]


def new_ledger(folder, genesis):
    """Makes it; its address."""
    made = url(folder, "ledger")
    LedgerStore.create(made, genesis).close()
    return made


def server():
    """The PostgreSQL server of the running test, if it runs on one."""
    return _server


def use(server):
    """For one test; None for SQLite."""
    global _server  # noqa: PLW0603 - one test runs at a time in a process
    _server = server
    while _named:
        del os.environ[_named.pop()]


def prepare(server):
    """What new databases are copied from."""
    create_index(server.create("new-gateway"))
    server.create("new-ledger")


def leave_keys_unchecked(connection):
    """Foreign keys, in the unit of `connection`: for rows that point to what a test does without."""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica" if _server else "PRAGMA defer_foreign_keys = ON")
