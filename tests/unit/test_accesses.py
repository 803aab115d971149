"""The access log's rows, leaves and batches."""

import hashlib
import hmac

import databases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.access_batch import AccessBatchBody
from chain.encoding import decode
from chain.merkle import root
from chain.transactions import Kind
from gateway.consent.access import Access
from gateway.index import accesses, outbox
from gateway.index import schema as t
from gateway.index.database import open_index
from gateway.vault.keyring import ArchiveSecret, Keyring
from gateway.vault.primitives import access_commitment

pytestmark = pytest.mark.both_databases

ACCESS = Access("insurer-00000001", "HPAYMT", bytes(32), ((bytes(15) + b"\x02", 1), (bytes(15) + b"\x01", 3)), 7, 1_700_000_000_123)
ENTRY = (
    "a7"
    "0001"
    "0170696e73757265722d3030303030303031"  # insurer-00000001
    "0266485041594d54"  # HPAYMT
    "035820" + "00" * 32 + "0482"
    "8250" + "00" * 15 + "0103"
    "8250" + "00" * 15 + "0201"
    "0507"
    "061b0000018bcfe5687b"
)


@pytest.fixture
def index(tmp_path):
    url = databases.new_gateway(tmp_path)
    index = open_index(url, Keyring(bytes(32)))
    yield index
    index.close()


def log(connection, *numbers):
    """Accesses whose leaf is their number, 32 times; the party and the grant need not exist here."""
    databases.leave_keys_unchecked(connection)
    for number in numbers:
        accesses.write(
            connection, sequence=number, party=1, purpose="TREAT", consent=1, accessed_ms=5, leaf=bytes([number] * 32), records=[(9, 1)]
        )


def written(connection):
    return [AccessBatchBody.from_map(decode(row.body)) for row in outbox.pending(connection) if row.kind == Kind.ACCESS_BATCH]


def test_an_entry_is_these_bytes_in_whatever_order_its_records_come():
    assert ACCESS.to_bytes().hex() == ENTRY
    turned = Access(ACCESS.client_id, ACCESS.purpose, ACCESS.grant_id, ACCESS.records[::-1], ACCESS.sequence, ACCESS.accessed_ms)
    assert turned.to_bytes() == ACCESS.to_bytes()


def test_commitment_and_salt_are_those_of_the_format():
    secret, grant, chain_id = bytes(range(32)), b"g" * 32, b"c" * 32
    context = b"fhir-anchor/access-salt/v1\x00" + grant + (7).to_bytes(8, "big") + (9).to_bytes(8, "big")
    salt = ArchiveSecret(secret).access_salt(grant, 7, 9)
    assert salt == hmac.digest(secret, context + b"\x01", "sha256")
    expected = hashlib.sha256(b"fhir-anchor/access-entry/v1\x00" + chain_id + salt + b"entry").digest()
    assert access_commitment(chain_id, salt, b"entry") == expected


def test_a_batch_holds_what_no_batch_held_in_the_order_of_numbers(index):
    with index.engine.connect() as connection:  # never committed: the rows that they name are not there
        assert accesses.close_batch(connection, 0) == 0
        assert not accesses.is_batch_open(connection)
        log(connection, 5, 3, 4)
        assert accesses.is_batch_open(connection)
        assert accesses.close_batch(connection, 0) == 3
        assert (accesses.close_batch(connection, 0), accesses.is_batch_open(connection)) == (0, False)
        log(connection, 8)
        assert accesses.close_batch(connection, 0) == 1
        leaves = [bytes([number] * 32) for number in (3, 4, 5)]
        assert written(connection) == [AccessBatchBody(root(leaves), 3, 3, 5), AccessBatchBody(root([bytes([8] * 32)]), 1, 8, 8)]
        batch_of = {row.sequence: row.batch for row in connection.execute(t.access.select())}
        assert batch_of == {3: 5, 4: 5, 5: 5, 8: 8}


@given(st.sets(st.tuples(st.integers(1, 2**62), st.integers(1, 2**31))))
def test_records_come_back_as_they_were(records):
    assert accesses.unpack(accesses.pack(records)) == sorted(records)


def test_records_of_a_page_take_three_bytes_each():
    assert len(accesses.pack((10**9 + 3 * number, 1) for number in range(100))) < 220
