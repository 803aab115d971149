"""Every kind of entry of the state has words of its own."""

import pytest

from chain.encoding import encode
from chain.entries import (
    SEEN,
    AccessBatchEntry,
    AnchorEntry,
    AuditReportEntry,
    EntryKind,
    GrantEntry,
    PartyEntry,
    Revocation,
    SequenceEntry,
)
from chain.stake_entries import CosignerEntry, DelegateEntry, RollEntry, StakeEntry, Standing
from chain.transactions import Role
from gateway.commands.entry_words import entry_words, transaction_kind

ONE, TWO = bytes([1]) * 32, bytes([2]) * 32
ENTRIES = {
    EntryKind.TRANSACTION: (ONE, SEEN, "it was recorded"),
    EntryKind.PARTY: (
        b"a-1",
        PartyEntry(7, "Hospital A", Role.INSTITUTION, ONE, None, suspended=True).to_value(),
        "institution, suspended",
    ),
    EntryKind.ANCHOR: (ONE, AnchorEntry(5, TWO).to_value(), "by transaction 5 of the log"),
    EntryKind.SIGNING_KEY: (ONE, encode("hospital-1"), "hospital-1"),
    EntryKind.GRANT: (ONE, GrantEntry(3, TWO, "gateway", 12, Revocation(9, 14)).to_value(), "revoked as number 14"),
    EntryKind.ACCESS_BATCH: (encode(["gateway", 2]), AccessBatchEntry(3, 4, 9, 1, TWO).to_value(), "1 access, among the numbers 4 to 9"),
    EntryKind.SEQUENCE: (b"gateway", SequenceEntry(9, 2).to_value(), "2 access batches"),
    EntryKind.STAKE: (ONE, StakeEntry(250, (TWO,), 1).to_value(), TWO.hex()),
    EntryKind.DELEGATE: (ONE, DelegateEntry(4, "Nordvik", TWO, 9, Standing.STANDS, jailed=True).to_value(), "stands, jailed"),
    EntryKind.ROLL: (b"", RollEntry(1000, (ONE,)).to_value(), "1000"),
    EntryKind.ELECTED: (b"", encode(ONE), ONE.hex()),
    EntryKind.DELEGATE_SET: (ONE, encode([ONE, TWO]), TWO.hex()),
    EntryKind.AUDIT_REPORT: (ONE, AuditReportEntry(3, "gateway", 1).to_value(), "findings"),
    EntryKind.COSIGNER: (ONE, CosignerEntry(3, TWO).to_value(), TWO.hex()),
}


@pytest.mark.parametrize("kind", EntryKind)
def test_an_entry_is_told_in_words_and_its_absence_too(kind):
    name, value, told = ENTRIES[kind]
    lines = entry_words(kind, name, value)
    assert any(told in text for _, text in lines)
    assert not any(value.hex() in text for _, text in lines)
    assert "there is no such entry" in entry_words(kind, name, None)[-1][1]


@pytest.mark.parametrize(("kind", "name", "value"), [(99, b"x", b"y"), (1, b"\xff", b"\x01"), (8, ONE, encode([1])), (7, ONE, b"")])
def test_what_this_program_cannot_read_stays_in_hex(kind, name, value):
    assert entry_words(kind, name, value) == [("entry", f"of kind {kind}, name {name.hex()}"), ("holds", value.hex())]


def test_kinds_of_transactions_have_names():
    assert [transaction_kind(number) for number in (2, 200)] == ["ANCHOR", "of kind 200"]
