"""The outbox's way to the ledger: whatever stands in one row, those behind it go on."""

from contextlib import closing

import databases
import pytest
from sqlalchemy import text

from chain.encoding import encode
from chain.keys import ChainId, SigningKey
from chain.transactions import AnchorBody, PartyAction, PartyBody, Role, parse_transaction, sign_transaction
from gateway.index import outbox
from gateway.index.database import create_index, open_index
from gateway.vault.keyring import Keyring
from jobs.audit_row_tags import verify_row_tags
from jobs.submit_transactions import submit_transactions

KEYRING = Keyring(bytes(range(32)))
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
    with closing(open_index(url, KEYRING)) as index:
        with index.atomic() as connection:
            rows = [{"kind": kind, "body": body} for kind, body in NO_TRANSACTIONS]
            connection.execute(text("INSERT INTO outbox (kind, body, created_at, attempts) VALUES (:kind, :body, 5, 0)"), rows)
            outbox.add(connection, AnchorBody(bytes(32), 1, bytes(32), 1, 1), 5)
        pool = Pool()
        assert submit_transactions(index, pool, lambda _: KEY, CHAIN_ID, 0) == len(pool.taken) == 1
        with index.reading() as connection:
            assert outbox.size(connection) == 0
            assert len(outbox.dead_letters(connection)) == len(NO_TRANSACTIONS)


def party(client_id):
    return PartyBody(PartyAction.REGISTER, client_id, "Hospital", Role.INSTITUTION, None, KEY.public)


def tamper(index, statement, **values):
    with index.atomic() as connection:
        return connection.execute(text(statement), values).rowcount


@pytest.fixture
def index(tmp_path):
    url = databases.new_gateway(tmp_path)
    with closing(open_index(url, KEYRING)) as index:
        yield index


FORGED = encode(party("stranger-00000001").to_map())
FORGERIES = (
    "INSERT INTO outbox (kind, body, created_at, attempts) VALUES (1, :body, 5, 0)",
    "INSERT INTO outbox (kind, body, created_at, attempts, tag) SELECT 1, :body, created_at, 0, tag FROM outbox WHERE id = 1",
    "UPDATE outbox SET body = :body WHERE id = 2",
    "UPDATE outbox SET kind = 2 WHERE id = 2",
    "UPDATE outbox SET created_at = 6 WHERE id = 2",
    "UPDATE outbox SET tag = NULL WHERE id = 2",
    "UPDATE outbox SET tag = (SELECT tag FROM outbox WHERE id = 1) WHERE id = 2",
)


@pytest.mark.both_databases
@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_the_gateway_did_not_write_is_not_signed(index, forgery):
    with index.atomic() as connection:
        for number in (1, 2):
            outbox.add(connection, party(f"hospital-0000000{number}"), 5)
    assert tamper(index, forgery, **({"body": FORGED} if ":body" in forgery else {})) == 1
    assert [one.code for one in verify_row_tags(index, None).findings] == ["outbox-altered"]
    pool = Pool()
    genuine = 1 if forgery.startswith("UPDATE") else 2
    assert submit_transactions(index, pool, lambda _: KEY, CHAIN_ID, 0) == genuine
    assert {parse_transaction(raw).body.client_id for raw, _ in pool.taken} <= {"hospital-00000001", "hospital-00000002"}
    with index.atomic() as connection:
        [letter] = outbox.dead_letters(connection)
        assert "did not write it" in letter.reason
        assert outbox.retry(connection) == 1
    assert submit_transactions(index, pool, lambda _: KEY, CHAIN_ID, 0) == 0, "trying again signs nothing either"
    [finding] = verify_row_tags(index, None).findings
    assert (finding.code, finding.subject) == ("outbox-altered", f"outbox row {letter.id}")
    with index.atomic() as connection:
        assert (outbox.drop(connection, letter.id), outbox.drop(connection, letter.id)) == (True, False)
    assert verify_row_tags(index, None).findings == ()


def test_a_row_put_in_line_again_is_what_the_ledger_has_already(index):
    copy = "INSERT INTO outbox (kind, body, created_at, attempts, tag) SELECT kind, body, created_at, 0, tag FROM outbox"
    with index.atomic() as connection:
        outbox.add(connection, party("hospital-00000001"), 5)
        outbox.add(connection, party("hospital-00000001"), 6)
    assert tamper(index, copy) == 2
    pool = Pool()
    assert submit_transactions(index, pool, lambda _: KEY, CHAIN_ID, 0) == 4
    assert [source for _, source in pool.taken[:2]] == [source for _, source in pool.taken[2:]]
    assert len({source for _, source in pool.taken}) == 2, "the ledger counts a source once"


def test_what_others_signed_needs_no_tag(index):
    raw = sign_transaction(party("hospital-00000001"), 9, KEY, CHAIN_ID).raw
    with index.atomic() as connection:
        outbox.add_signed(connection, raw, 5)
    pool = Pool()
    assert submit_transactions(index, pool, lambda _: KEY, CHAIN_ID, 0) == 1
    assert [taken for taken, _ in pool.taken] == [raw]
    assert verify_row_tags(index, None).findings == ()
