"""A ledger's database as an earlier version of this software had it, with nothing in it."""

import sqlite3
from contextlib import closing

import databases
from sqlalchemy import make_url

from chain.database import _in_postgresql, _migrations


def set_back(url, files):
    """Everything goes, and the layout is what the first so many migrations make."""
    script = "".join(file.read_text() for file in _migrations()[:files])
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(make_url(url).database)) as connection:
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall():
                connection.execute(f"DROP TABLE {name}")
            connection.executescript(f"{script} PRAGMA user_version={files}")
    else:
        layout = f"CREATE TABLE layout (files BIGINT NOT NULL); INSERT INTO layout VALUES ({files});"
        drop = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
        databases.server().execute(f"{drop} {layout} {_in_postgresql(script)}", make_url(url).database)
