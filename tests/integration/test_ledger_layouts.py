"""What an earlier version of this software wrote into a ledger is there in the layout of this one."""

import databases
import pytest
from chain_case import GENESIS
from ledger_layout import set_back
from sqlalchemy import create_engine, select, text

from chain.database import connect
from chain.tables import party_history, recorded_source, state_tile, transaction_index


@pytest.mark.both_databases
def test_the_index_keeps_prefixes_parties_and_sources(tmp_path):
    url = databases.new_ledger(tmp_path, GENESIS)
    set_back(url, 5)
    ids = [bytes([number]) * 32 for number in (7, 200, 9)]
    engine = create_engine(url)
    with engine.begin() as connection:
        rows = [(ids[0], 0, b"p" * 32, 11), (ids[1], 1, None, None), (ids[2], 2, b"p" * 32, 13)]
        for row in rows:
            values = dict(zip(("id", "index", "party", "source"), row, strict=True))
            connection.execute(text("INSERT INTO transaction_index VALUES (:id, :index, :party, :source)"), values)
        connection.execute(text("INSERT INTO state_tile VALUES (256, :hashes)"), {"hashes": b"h" * 33})
    engine.dispose()

    engine = connect(url)
    with engine.connect() as connection:
        everything = [
            connection.execute(select(table).order_by(*table.c)).all() for table in (transaction_index, party_history, recorded_source)
        ]
        assert everything == [
            [(ids[0][:8], 0), (ids[2][:8], 2), (ids[1][:8], 1)],
            [(b"p" * 32, 0), (b"p" * 32, 2)],
            [(11,), (13,)],
        ]
        assert connection.execute(select(state_tile)).all() == []
    engine.dispose()
