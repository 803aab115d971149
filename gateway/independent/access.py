"""Verification of the receipt of one access, step by step as docs/design/access.md numbers them."""

from hashlib import sha256
from typing import Any, NamedTuple

from gateway.independent import cbor, fields, pin, transaction, tree
from gateway.independent import genesis as genesis_file
from gateway.independent.faults import Invalid
from gateway.independent.genesis import Genesis
from gateway.independent.statement import from_base64url
from gateway.independent.transaction import AccessBatch

FORMAT = "fhir-anchor access receipt 1"
_NAMES = {"format", "chain_id", "access", "batch", "header", "votes", "handovers"}
_ENTRY = b"fhir-anchor/access-entry/v1\x00"
_KINDS = (int, str, str, bytes, list, int, int)
_MAX = (1 << 63) - 1


class AccessVerdict(NamedTuple):
    """What a valid access receipt says; the same fields as the first verifier's."""

    client_id: str
    purpose: str
    grant: str  # hex
    records: tuple[str, ...]  # id/_history/version
    sequence: int
    accessed_ms: int
    height: int
    accepted_at: int  # the block's time, seconds since the epoch
    votes: int
    delegates: int


class _Entry(NamedTuple):
    client_id: str
    purpose: str
    grant: str
    records: tuple[str, ...]
    sequence: int
    accessed_ms: int


def verify_access_receipt(receipt_bytes: bytes, genesis_bytes: bytes, pin_bytes: bytes | None = None) -> AccessVerdict:
    """Raises Invalid or Unreadable."""
    genesis = genesis_file.read(genesis_bytes)  # 1
    pinned = pin.read_if_any(pin_bytes, genesis)
    receipt = _receipt(receipt_bytes)  # 2
    head, delegates = fields.accepted(receipt, genesis, pinned)  # 3 to 5
    raw = fields.transaction_of(receipt["batch"], "batch")
    batch = transaction.access_batch(raw, genesis)  # 6
    fields.check_in_log(receipt["batch"], raw, head, "batch")
    entry = _checked_entry(receipt["access"], batch, genesis)
    return AccessVerdict(*entry, head.height, head.time, len(receipt["votes"]), delegates)


def _receipt(data: bytes) -> dict[str, Any]:
    receipt = fields.of_names(fields.load(data), _NAMES, "the receipt")
    if receipt["format"] != FORMAT:
        raise Invalid("format is not that of the receipt of an access")
    return receipt


def _checked_entry(value: Any, batch: AccessBatch, genesis: Genesis) -> _Entry:
    part = fields.of_names(value, {"entry", "salt", "index", "path"}, "access")
    raw, salt = from_base64url(part["entry"], "access.entry"), from_base64url(part["salt"], "access.salt")
    entry = _entry(raw)  # 7
    if len(salt) != 32:
        raise Invalid("access.salt does not have 32 bytes")
    index, path = fields.number(part["index"], "access.index"), fields.path(part["path"], "access.path")
    leaf = tree.leaf(sha256(_ENTRY + genesis.chain_id + salt + raw).digest())
    if tree.root_by_index(leaf, index, batch.leaves, path, "access.path") != batch.root:  # 8
        raise Invalid("access.path does not lead from the entry to the root in the ACCESS_BATCH")
    before, after = index, batch.leaves - 1 - index
    lowest = batch.last if after == 0 else batch.first + before
    highest = batch.first if before == 0 else batch.last - after
    if entry.sequence < lowest or entry.sequence > highest:  # 9
        raise Invalid("access.entry has a number that its place in the ACCESS_BATCH leaves no room for")
    return entry


def _entry(raw: bytes) -> _Entry:
    found = cbor.decode(raw, "access.entry")
    if not isinstance(found, dict) or list(found) != list(range(len(_KINDS))):
        raise Invalid("access.entry does not have exactly the fields 0 to 6")
    if any(type(found[key]) is not kind for key, kind in enumerate(_KINDS)) or found[0] != 1:
        raise Invalid("access.entry is of another version, or has a field of another kind")
    _, client_id, purpose, grant, named, sequence, accessed_ms = found.values()
    assert isinstance(client_id, str)
    assert isinstance(purpose, str)
    assert isinstance(grant, bytes)
    assert isinstance(named, list)
    assert isinstance(sequence, int)
    assert isinstance(accessed_ms, int)
    records = [_record(one) for one in named]
    if len(grant) != 32 or not records or records != sorted(records):
        raise Invalid("access.entry names no grant, no records, or its records are not in order")
    if not (0 <= sequence <= _MAX and 0 <= accessed_ms <= _MAX):
        raise Invalid("access.entry has an impossible number or time")
    names = tuple(f"{id_.hex()}/_history/{version}" for id_, version in records)
    return _Entry(client_id, purpose, grant.hex(), names, sequence, accessed_ms)


def _record(value: cbor.Value) -> tuple[bytes, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise Invalid("access.entry: a record is no id with a version")
    id_, version = value
    if not isinstance(id_, bytes) or len(id_) != 16 or type(version) is not int or not 0 <= version <= _MAX:
        raise Invalid("access.entry: a record's id or version cannot be one")
    return id_, version
