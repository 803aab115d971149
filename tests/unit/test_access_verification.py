"""Access receipts, true ones, and ones in which one thing is a lie that all hashes and signatures around it cover."""

import json

import msgspec
import pytest
from access_receipt_case import GENESIS, SEQUENCES, entry_of, make_receipt
from click.testing import CliRunner
from receipt_case import NOW, key, party_body

from chain.encoding import decode, encode
from gateway.access_verification import verify_access_receipt
from gateway.cli import main
from gateway.consent.access import Access, NotAnAccess
from gateway.errors import CouldNotCheck
from gateway.receipt_json import Hash, Raw, to_json
from gateway.recorded import ReceiptInvalid


def verify(receipt):
    return verify_access_receipt(to_json(receipt), GENESIS)


@pytest.mark.parametrize("place", range(len(SEQUENCES)))
def test_a_true_one_says_who_got_what_when(place):
    verdict = verify(make_receipt(place))
    assert (verdict.client_id, verdict.purpose, verdict.grant) == ("insurer-00000001", "HPAYMT", (b"g" * 32).hex())
    assert (verdict.sequence, verdict.accessed_ms, verdict.accepted_at) == (SEQUENCES[place], NOW * 1000, NOW + 200)
    assert verdict.records[0] == f"{(bytes([SEQUENCES[place]]) * 16).hex()}/_history/1"
    assert (verdict.votes, verdict.delegates) == (3, 4)


def test_a_batch_of_one():
    assert verify(make_receipt(0, sequences=(7,))).sequence == 7


@pytest.mark.parametrize(
    ("made", "what"),
    [
        ({"signer": key("another")}, "not signed by a gateway"),
        ({"root": bytes(32)}, "access.path does not lead"),
        ({"leaves": 2}, "access.path"),
        ({"first": 1, "place": 0}, "no room"),
        ({"last": 99, "place": 4}, "no room"),
        ({"first": 8, "place": 2}, "no room"),
        ({"last": 10, "place": 2, "first": 6}, "no room"),
        ({"entry": b"\xa0"}, "no entry"),
        ({"entry": entry_of(5)[:-1] + b"\x00\x00"}, "no entry"),
        ({"header": {"log_size": 2}}, "batch: the path"),
        ({"other_body": party_body("y-00000001")}, "batch.transaction is of another kind"),
    ],
    ids=lambda made: " ".join(made) if isinstance(made, dict) else "",
)
def test_a_lie_that_everything_around_it_covers(made, what):
    with pytest.raises(ReceiptInvalid, match=what):
        verify(make_receipt(**made))


def changed(receipt, **changes):
    return msgspec.structs.replace(receipt, **changes)


def of_access(receipt, **changes):
    return changed(receipt, access=changed(receipt.access, **changes))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda r: changed(r, chain_id=Hash(bytes(32))), "chain_id"),
        (lambda r: changed(r, votes=r.votes[1:]), "votes"),
        (lambda r: changed(r, votes=(r.votes[0], r.votes[1], (r.votes[2][0], Raw(bytes(64))))), "vote"),
        (lambda r: changed(r, header=Raw(r.header[:-1])), "header"),
        (lambda r: changed(r, batch=changed(r.batch, index=0)), "batch"),
        (lambda r: of_access(r, index=1), "access.path"),
        (lambda r: of_access(r, index=1 << 50), "access.path"),
        (lambda r: of_access(r, path=r.access.path[:-1]), "access.path"),
        (lambda r: of_access(r, salt=Raw(bytes(32))), "access.path"),
        (lambda r: of_access(r, salt=Raw(bytes(31))), "access.salt"),
        (lambda r: of_access(r, entry=Raw(entry_of(12))), "access.path"),
    ],
)
def test_every_value_is_checked(change, what):
    with pytest.raises(ReceiptInvalid, match=what):
        verify(change(make_receipt()))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told | {"more": 1},
        lambda told: {name: value for name, value in told.items() if name != "handovers"},
        lambda told: told | {"handovers": [1]},
        lambda told: told | {"format": "fhir-anchor receipt 1"},
        lambda told: told | {"access": told["access"] | {"index": 2.0}},
        lambda told: told | {"access": told["access"] | {"salt": told["access"]["salt"] + "="}},
        lambda told: told | {"chain_id": told["chain_id"].upper()},
    ],
)
def test_there_is_one_spelling(change):
    told = json.loads(to_json(make_receipt()))
    with pytest.raises(ReceiptInvalid, match="no access receipt"):
        verify_access_receipt(json.dumps(change(told)).encode(), GENESIS)


def test_without_a_genesis_nothing_can_be_checked():
    with pytest.raises(CouldNotCheck):
        verify_access_receipt(to_json(make_receipt()), b"{}")


def test_an_entry_has_one_encoding():
    assert Access.from_bytes(entry_of(4)).to_bytes() == entry_of(4)
    fields = decode(entry_of(4))
    wrong = [{0: 2}, {1: 5}, {2: None}, {3: bytes(31)}, {4: []}, {4: [[bytes(16)]]}, {4: [[bytes(15), 1]]}, {4: fields[4][::-1]}, {5: -1}]
    for change in [*wrong, {5: True}, {6: "x"}, {7: 0}, {4: [[bytes(16), -1]]}]:
        with pytest.raises(NotAnAccess):
            Access.from_bytes(encode(fields | change))
    for other in (b"", b"\x00", encode([1]), entry_of(4) + b"\x00"):
        with pytest.raises(NotAnAccess):
            Access.from_bytes(other)


def test_the_command_tells_both_kinds_apart(tmp_path):
    (tmp_path / "a.json").write_bytes(to_json(make_receipt()))
    (tmp_path / "bad.json").write_bytes(to_json(of_access(make_receipt(), index=1)))
    (tmp_path / "g.json").write_bytes(GENESIS)

    def run(name, *more):
        return CliRunner().invoke(main, ["receipt", "verify", str(tmp_path / name), "--genesis", str(tmp_path / "g.json"), *more])

    told = run("a.json")
    assert told.exit_code == 0
    assert "insurer-00000001 for HPAYMT" in told.stdout
    assert json.loads(run("a.json", "--json").stdout)["receipts"][0]["sequence"] == 9
    assert run("bad.json").exit_code == 1
    for more in ((), ("--independent",)):
        assert run("a.json", *more).stdout == told.stdout
        assert run("bad.json", *more).exit_code == 1
        assert run("a.json", "--record", str(tmp_path / "a.json"), *more).exit_code == 2
