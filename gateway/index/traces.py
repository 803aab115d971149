"""What the files of a database still hold of rows that are gone, taken out after an erasure (docs/adr/0033-erasure.md).

SQLite leaves old bytes in free parts of its pages and in its log, PostgreSQL in its tables until they are written anew.
"""

import sqlite3
from contextlib import closing

from sqlalchemy.exc import DBAPIError

from gateway.errors import Unavailable
from gateway.index.database import Index

PATIENCE = 30.0  # seconds to wait for who reads or writes
_SEALED = ("archive", "person")  # the tables whose deleted rows held something sealed


class TracesRemain(Unavailable):
    """The rows are gone, and their bytes are not: somebody else holds the database's files. `forget` can be called again."""


def forget(index: Index, patience: float = PATIENCE) -> None:
    """Write the database anew and empty its log; seconds for a million rows. Raises TracesRemain, after `patience` seconds or twice."""
    try:
        if index.engine.dialect.name == "sqlite":
            _forget_in_file(str(index.engine.url.database), patience)
        else:
            _forget_in_tables(index, patience)
    except (sqlite3.Error, DBAPIError) as error:
        raise TracesRemain("the database is in use") from error


def _forget_in_file(path: str, patience: float) -> None:
    with closing(sqlite3.connect(path, timeout=patience, isolation_level=None)) as database:
        database.execute("VACUUM")
        is_busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise TracesRemain("somebody reads an older state of the database, so that its log cannot be emptied")


def _forget_in_tables(index: Index, patience: float) -> None:
    with index.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"SET lock_timeout = {int(patience * 1000)}")
        try:
            for table in _SEALED:
                connection.exec_driver_sql(f"VACUUM FULL {table}")
        finally:
            connection.exec_driver_sql("RESET lock_timeout")
