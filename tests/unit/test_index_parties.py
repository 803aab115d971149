"""Parties, their one-time tokens and the outbox, on a real database."""

import databases
import pytest

from chain.encoding import decode
from chain.keys import SigningKey
from chain.transactions import Kind, PartyBody, Role, TransactionInvalid
from gateway.index import outbox, parties
from gateway.index.database import LostRace, open_index
from gateway.vault.keyring import Keyring

pytestmark = pytest.mark.both_databases

KEY = SigningKey.from_seed(bytes(31) + b"\x01").public
OTHER_KEY = SigningKey.from_seed(bytes(31) + b"\x02").public


@pytest.fixture
def index(tmp_path):
    url = databases.new_gateway(tmp_path)
    index = open_index(url, Keyring(bytes(range(32))))
    yield index
    index.close()


def register(connection, client_id="hospital-00000001", **changes):
    fields = {
        "name": "Hospital",
        "role": Role.INSTITUTION,
        "signing": "gateway",
        "jwks": {"keys": [{"kty": "EC"}]},
        "signing_key": KEY,
        "attestation_key": OTHER_KEY,
        "attestation_sealed": b"sealed",
        "purposes": ("TREAT", "HPAYMT"),
        "now": 7,
    }
    return parties.register(connection, client_id=client_id, **fields | changes)


def test_a_registered_party_is_found_and_on_its_way_to_the_ledger(index):
    with index.atomic() as connection:
        registered = register(connection)
    with index.reading() as connection:
        assert parties.by_client_id(connection, "hospital-00000001") == registered
        assert parties.by_row(connection, registered.row) == registered
        assert parties.by_client_id(connection, "hospital-00000002") is None
        [row] = outbox.pending(connection, 0, 10)
    assert registered.active
    assert registered.purposes == ("TREAT", "HPAYMT")
    assert registered.jwks == {"keys": [{"kty": "EC"}]}
    assert row.kind == Kind.PARTY
    assert PartyBody.from_map(decode(row.body)) == PartyBody(0, "hospital-00000001", "Hospital", Role.INSTITUTION, KEY, OTHER_KEY)


def test_a_party_the_ledger_would_refuse_is_not_written(index):
    with pytest.raises(TransactionInvalid), index.atomic() as connection:
        register(connection, signing_key=bytes(32))
    with index.reading() as connection:
        assert parties.all_parties(connection) == []
        assert outbox.size(connection) == 0


def test_a_client_id_is_given_once(index):
    with index.atomic() as connection:
        register(connection)
    with pytest.raises(LostRace), index.atomic() as connection:
        register(connection)
    with index.reading() as connection:
        assert outbox.size(connection) == 1


def test_a_suspended_party_stays_and_is_inactive(index):
    with index.atomic() as connection:
        register(connection)
        assert parties.suspend(connection, "hospital-00000001", 8)
        assert not parties.suspend(connection, "hospital-00000001", 9)
        assert not parties.by_client_id(connection, "hospital-00000001").active
        assert outbox.size(connection) == 2


def test_client_ids_are_slugs():
    assert parties.new_client_id("Klinik Süd, Haus 3", lambda n: b"\x3f\x9a\x2b\x6c"[:n]) == "klinik-sud-haus-3-3f9a2b6c"
    assert parties.new_client_id("病院", bytes) == "party-00000000"
    assert len(parties.new_client_id("x" * 200, bytes)) == 49


def test_a_jti_holds_once_per_party_until_it_is_pruned(index):
    with index.atomic() as connection:
        register(connection)
        register(connection, "lab-00000002", signing_key=None, attestation_key=SigningKey.from_seed(bytes(31) + b"\x03").public)
        assert parties.claim_jti(connection, "hospital-00000001", "a", 100)
        assert not parties.claim_jti(connection, "hospital-00000001", "a", 100)
        assert parties.claim_jti(connection, "hospital-00000001", "b", 200)
        assert parties.claim_jti(connection, "lab-00000002", "a", 100)
        assert not parties.claim_jti(connection, "nobody", "a", 100)
        assert parties.prune_jtis(connection, 150) == 2
        assert not parties.claim_jti(connection, "hospital-00000001", "b", 200)


def test_outbox_rows_come_in_order_and_their_ids_never_again(index):
    with index.atomic() as connection:
        for number in range(5):
            register(connection, f"hospital-{number:08}", signing_key=None)
    with index.atomic() as connection:
        rows = outbox.pending(connection, 2, 2)
        assert [row.id for row in rows] == [3, 4]
        outbox.done(connection, [1, 2, 3, 4, 5])
        assert outbox.size(connection) == 0
        register(connection, "hospital-00000009", signing_key=None)
        assert [row.id for row in outbox.pending(connection, 0, 9)] == [6]


def test_a_dead_letter_is_out_of_line_until_it_is_tried_again(index):
    with index.atomic() as connection:
        for number in range(3):
            register(connection, f"hospital-{number:08}", signing_key=None)
        outbox.set_aside(connection, 2, "its bytes are damaged")
        assert [row.id for row in outbox.pending(connection)] == [1, 3]
        assert outbox.size(connection) == 2
        [letter] = outbox.dead_letters(connection)
        assert (letter.id, letter.attempts, letter.reason) == (2, 1, "its bytes are damaged")
        assert outbox.retry(connection, [1, 3]) == 0
        assert outbox.retry(connection) == 1
        assert [row.id for row in outbox.pending(connection)] == [1, 2, 3]
        assert outbox.dead_letters(connection) == []
