"""The outbox's way to the ledger: whatever stands in one row, those behind it go on."""

from contextlib import closing

from sqlalchemy import text

from chain.keys import ChainId, SigningKey
from chain.transactions import AnchorBody
from gateway.index import outbox
from gateway.index.database import create_index, open_index
from jobs.submit_transactions import submit_transactions

KEY, CHAIN_ID = SigningKey.from_seed(bytes(32)), ChainId(bytes(32))
NO_TRANSACTIONS = [(2, b""), (2, b"\xff" * 9), (2, "text"), (2, 5), (0, 2.5), (0, b"x" * (1 << 20)), (99, b"\xa0"), ("two", b"\xa0")]


class Pool:
    """Takes what is submitted, and nothing more of a ledger."""

    def __init__(self):
        self.taken = []

    def submit_all(self, transactions):
        self.taken += transactions


def test_rows_that_make_no_transaction_hold_up_no_other(tmp_path):
    """SQLite keeps in a column what is put there."""
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    create_index(url)
    with closing(open_index(url)) as index:
        with index.atomic() as connection:
            rows = [{"kind": kind, "body": body} for kind, body in NO_TRANSACTIONS]
            connection.execute(text("INSERT INTO outbox (kind, body, created_at, attempts) VALUES (:kind, :body, 5, 0)"), rows)
            outbox.add(connection, AnchorBody(bytes(32), 1, bytes(32), 1, 1), 5)
        pool = Pool()
        assert submit_transactions(index, pool, lambda _: KEY, CHAIN_ID, 0) == len(pool.taken) == 1
        with index.reading() as connection:
            assert outbox.size(connection) == 0
            assert len(outbox.dead_letters(connection)) == len(NO_TRANSACTIONS)
