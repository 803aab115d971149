"""An entry of the ledger's state, and a kind of transaction, as people read them; programs get the bytes in hex (`--json`)."""

from collections.abc import Callable

from chain.encoding import decode
from chain.entries import (
    AccessBatchEntry,
    AnchorEntry,
    AuditReportEntry,
    EntryKind,
    GrantEntry,
    PartyEntry,
    SequenceEntry,
)
from chain.errors import LedgerError
from chain.kinds import Kind
from chain.stake_entries import CosignerEntry, DelegateEntry, RollEntry, StakeEntry
from gateway.wording import counted

Lines = list[tuple[str, str]]


def transaction_kind(number: int) -> str:
    """The name of a kind of transaction; its number where this program knows none."""
    return next((kind.name for kind in Kind if kind == number), f"of kind {number}")


def entry_words(kind: int, name: bytes, value: bytes | None) -> Lines:
    """What a state proof says, line by line: what was asked for, and what is there. What cannot be read stays in hex."""
    try:
        found = EntryKind(kind)
        asked = f"{found.name.lower().replace('_', ' ')} {_name(found, name)}".rstrip()
        told = [("holds", "nothing: there is no such entry")] if value is None else _TOLD[found](value)
    except (LedgerError, ValueError, TypeError, KeyError):
        asked = f"of kind {kind}, name {name.hex() or '(none)'}"
        told = [("holds", "nothing: there is no such entry" if value is None else value.hex())]
    return [("entry", asked), *told]


def _name(kind: EntryKind, name: bytes) -> str:
    if kind in (EntryKind.PARTY, EntryKind.SEQUENCE):
        return name.decode()
    if kind is EntryKind.ACCESS_BATCH:
        gateway, place = decode(name)
        return f"{gateway}/{place}"
    return name.hex()


def _party(value: bytes) -> Lines:
    party = PartyEntry.from_value(value)
    return [
        ("name", party.name),
        ("role", f"{party.role.name.lower()}{', suspended' if party.suspended else ''}"),
        ("signs with", _key(party.signing_key)),
        ("attested by", _key(party.attestation_key)),
        ("recorded", _recorded(party.log_index)),
    ]


def _anchor(value: bytes) -> Lines:
    anchor = AnchorEntry.from_value(value)
    return [("root", anchor.root.hex()), ("recorded", _recorded(anchor.log_index))]


def _grant(value: bytes) -> Lines:
    grant = GrantEntry.from_value(value)
    state = "in force, unless it has expired"
    if grant.revoked is not None:
        state = f"revoked as number {grant.revoked.sequence} of the gateway's commits, {_recorded(grant.revoked.log_index)}"
    return [
        ("state", state),
        ("granted", f"as number {grant.sequence} of the commits of {grant.gateway}"),
        ("commits to", grant.commitment.hex()),
        ("recorded", _recorded(grant.log_index)),
    ]


def _access_batch(value: bytes) -> Lines:
    batch = AccessBatchEntry.from_value(value)
    held = f"{counted(batch.leaves, 'accesses')}, among the numbers {batch.first} to {batch.last} of the gateway's commits"
    return [("holds", held), ("root", batch.root.hex()), ("recorded", _recorded(batch.log_index))]


def _sequence(value: bytes) -> Lines:
    sequence = SequenceEntry.from_value(value)
    return [("last number", str(sequence.last)), ("so far", counted(sequence.batches, "access batches"))]


def _stake(value: bytes) -> Lines:
    stake = StakeEntry.from_value(value)
    registered = counted(stake.sponsored, "delegates that it registered")
    return [("weight", str(stake.weight)), *(("approves of", key.hex()) for key in stake.votes), ("stands for", registered)]


def _delegate(value: bytes) -> Lines:
    delegate = DelegateEntry.from_value(value)
    state = f"{delegate.standing.name.lower()}{', jailed for its absence' if delegate.jailed else ''}"
    sponsor = [] if delegate.sponsor is None else [("sponsor", delegate.sponsor.hex())]
    about = [("name", delegate.name), ("state", state), ("approval", str(delegate.approval))]
    return [*about, *sponsor, ("recorded", _recorded(delegate.log_index))]


def _roll(value: bytes) -> Lines:
    roll = RollEntry.from_value(value)
    return [("all stake", str(roll.total)), *(("stands", key.hex()) for key in roll.delegates)]


def _audit_report(value: bytes) -> Lines:
    report = AuditReportEntry.from_value(value)
    verdict = {0: "clean", 1: "findings", 2: "not everything could be checked"}.get(report.exit_code, str(report.exit_code))
    return [("verdict", verdict), ("made by", report.gateway), ("recorded", _recorded(report.log_index))]


def _cosigner(value: bytes) -> Lines:
    cosigner = CosignerEntry.from_value(value)
    return [("cosigns with", cosigner.key.hex()), ("recorded", _recorded(cosigner.log_index))]


_TOLD: dict[EntryKind, Callable[[bytes], Lines]] = {
    EntryKind.TRANSACTION: lambda _: [("holds", "it was recorded, and cannot be a second time")],
    EntryKind.PARTY: _party,
    EntryKind.ANCHOR: _anchor,
    EntryKind.SIGNING_KEY: lambda value: [("belongs to", str(decode(value)))],
    EntryKind.GRANT: _grant,
    EntryKind.ACCESS_BATCH: _access_batch,
    EntryKind.SEQUENCE: _sequence,
    EntryKind.STAKE: _stake,
    EntryKind.DELEGATE: _delegate,
    EntryKind.ROLL: _roll,
    EntryKind.ELECTED: lambda value: [("names", f"the delegate set {decode(value).hex()}")],
    EntryKind.DELEGATE_SET: lambda value: [(f"delegate {index}", key.hex()) for index, key in enumerate(decode(value))],
    EntryKind.AUDIT_REPORT: _audit_report,
    EntryKind.COSIGNER: _cosigner,
}


def _key(key: bytes | None) -> str:
    return "no key" if key is None else key.hex()


def _recorded(log_index: int | None) -> str:
    return "by the genesis" if log_index is None else f"by transaction {log_index} of the log"
