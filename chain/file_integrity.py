"""Whether the file that holds a ledger in SQLite is whole: its pages, its indices and the kind of each value.

SQLite reads on where a page or an index was damaged or edited, and takes a value of any kind in any column. What it then answers can be
less than, or other than, what is stored, so an audit looks here first. A server of PostgreSQL keeps its own files.
"""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, LargeBinary, Table, Text

from chain.database import LedgerDamaged
from chain.findings import Code, Finding
from chain.tables import metadata

MAX_FAULTS = 100  # of pages and indices; a file with more has nothing worth naming one by one
_TREE = re.compile(r"Tree (\d+)")


def file_faults(connection: Connection) -> Iterator[Finding]:
    """Each damaged page or index, and each column with values of a kind that is never written there, by its table."""
    if connection.dialect.name != "sqlite":
        return
    yield from _page_faults(connection)
    for name, table in sorted(metadata.tables.items()):
        try:
            yield from _wrong_kinds(connection, table)
        except LedgerDamaged as error:
            yield Finding(Code.FILE_DAMAGED, f"table {name}", str(error))


def _page_faults(connection: Connection) -> Iterator[Finding]:
    """What SQLite's own check says. Each line names a tree or an index, and those belong to tables."""
    try:
        trees = {str(root): name for root, name in connection.exec_driver_sql("SELECT rootpage, tbl_name FROM sqlite_schema")}
        lines = connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_FAULTS})").scalars().all()
    except LedgerDamaged as error:
        yield Finding(Code.FILE_DAMAGED, "ledger.db", str(error))
        return
    for line in lines:
        if line != "ok":
            yield Finding(Code.FILE_DAMAGED, _place(line, trees), " ".join(line.split()))


def _wrong_kinds(connection: Connection, table: Table) -> Iterator[Finding]:
    """One pass over the table. Where rows are known by a number, the smallest is told."""
    key = table.primary_key.columns[0].name
    parts, columns = [], list(table.columns)
    for column in columns:
        kind = "blob" if isinstance(column.type, LargeBinary) else "text" if isinstance(column.type, Text) else "integer"
        wrong = f"typeof({column.name}) NOT IN ('{kind}', '{'null' if column.nullable else kind}')"
        parts.append(f"count(CASE WHEN {wrong} THEN 1 END), min(CASE WHEN {wrong} AND typeof({key}) = 'integer' THEN {key} END)")
    row = connection.exec_driver_sql(f"SELECT {', '.join(parts)} FROM {table.name} NOT INDEXED").one()  # noqa: S608 - names of ours
    for column, count, first in zip(columns, row[::2], row[1::2], strict=True):
        if count:
            at = "" if first is None else f", the first with {key} {first}"
            yield Finding(Code.FILE_DAMAGED, f"table {table.name}", f"{count} of {column.name} are of a kind never stored there{at}")


def _place(line: str, trees: dict[str, str]) -> str:
    """The table that a line of SQLite's own check is about, as far as it says."""
    if (tree := _TREE.search(line)) is not None and tree[1] in trees:
        return f"table {trees[tree[1]]}"
    named = [name for name in sorted(metadata.tables, key=len, reverse=True) if name in line]
    return f"table {named[0]}" if named else "ledger.db"
