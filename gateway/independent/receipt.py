"""Verification of a receipt, step by step as docs/design/receipt.md numbers them."""

import json
import re
from hashlib import sha256
from typing import Any, NamedTuple

from gateway.independent import genesis as genesis_file
from gateway.independent import header, json_text, statement, transaction, tree
from gateway.independent.faults import Invalid, Unreadable
from gateway.independent.genesis import Genesis, Party
from gateway.independent.header import Acting, Header
from gateway.independent.statement import from_base64url

FORMAT = "fhir-anchor receipt 1"
MAX_BYTES = 1 << 20
_PUBLIC = {"format", "chain_id", "record", "bundle", "anchor", "header", "votes", "handovers"}
_COMMITMENT = b"fhir-anchor/record-commitment/v1\x00"
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}/_history/[A-Za-z0-9.-]{1,64}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Verdict(NamedTuple):
    """What a valid receipt says; the same fields as the first verifier's."""

    reference: str
    height: int
    accepted_at: int  # the block's time, seconds since the epoch
    votes: int
    delegates: int
    who: str | None
    not_checked: tuple[str, ...]


def verify_receipt(receipt_bytes: bytes, genesis_bytes: bytes, record: bytes | None) -> Verdict:
    """Raises Invalid or Unreadable."""
    genesis = genesis_file.read(genesis_bytes)  # 1
    receipt = _receipt(receipt_bytes)  # 2
    if _hash(receipt["chain_id"], "chain_id") != genesis.chain_id:  # 3
        raise Invalid("chain_id: the receipt is of another chain than the genesis file")
    acting = _handovers(receipt["handovers"], genesis)  # 4
    head = header.final(from_base64url(receipt["header"], "header"), _votes(receipt["votes"]), genesis, acting)  # 4, 5
    anchor_bytes = _logged(receipt["anchor"], "anchor")
    anchor = transaction.anchor(anchor_bytes, genesis)  # 6
    _check_in_log(receipt["anchor"], anchor_bytes, head, "anchor")
    bundle_root = _check_record_path(receipt["record"])  # 7
    _check_container(receipt["bundle"], bundle_root, anchor)  # 8
    who = None
    if "statement" in receipt:
        who = _check_statement(receipt, bundle_root, head, genesis)  # 9 to 12
    if record is not None:
        _check_record(receipt["record"], record)  # 13
    return Verdict(
        receipt["record"]["reference"],
        head.height,
        head.time,
        len(receipt["votes"]),
        len(acting.delegates),
        who,
        _not_checked(with_record=record is not None, with_statement=who is not None),
    )


def _not_checked(*, with_record: bool, with_statement: bool) -> tuple[str, ...]:
    missing = []
    if not with_record:
        missing.append("the record itself: none was given, so its name is only what the receipt's file says")
    if not with_statement:
        missing.append("who submitted it: this is a public receipt, which does not say")
    return tuple(missing)


def _receipt(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise Invalid("no receipt: too large for one")
    try:
        found = json_text.load(data)
    except ValueError as error:
        raise Invalid(f"no receipt: not JSON as receipts have it: {error}") from error
    full = isinstance(found, dict) and ("statement" in found or "issuer" in found)
    receipt = _object(found, _PUBLIC | ({"statement", "issuer"} if full else set()), "the receipt")
    if receipt["format"] != FORMAT:
        raise Invalid("format is not that of a receipt")
    names = {"reference", "commitment", "path"} | ({"salt"} if full else set())
    reference = _object(receipt["record"], names, "record")["reference"]
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise Invalid("record.reference is not of the form Type/id/_history/version")
    return receipt


def _object(value: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise Invalid(f"{what} does not have exactly the fields {', '.join(sorted(names))}")
    return value


def _number(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise Invalid(f"{what} is no number from 0 to 2^53 - 1")
    return value


def _hash(value: Any, what: str) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise Invalid(f"{what} is not 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(f"{what} is no list")
    return value


def _path(value: Any, what: str) -> list[bytes]:
    return [_hash(item, what) for item in _list(value, what)]


def _sided_path(value: Any, what: str) -> list[tuple[str, bytes]]:
    path = []
    for item in _list(value, what):
        if not isinstance(item, list) or len(item) != 2 or item[0] not in ("left", "right"):
            raise Invalid(f"{what} has a step that is no side with a hash")
        path.append((str(item[0]), _hash(item[1], what)))
    return path


def _handovers(value: Any, genesis: Genesis) -> Acting:
    acting = Acting(0, genesis.delegates)
    for number, item in enumerate(_list(value, "handovers")):
        part = _object(item, {"header", "votes", "delegates"}, "a handover")
        delegates = _path(part["delegates"], "a handover's delegates")
        try:
            acting = header.handed_over(from_base64url(part["header"], "header"), _votes(part["votes"]), delegates, genesis, acting)
        except Invalid as error:
            raise Invalid(f"handovers: {number}: {error}") from error
    return acting


def _votes(value: Any) -> list[tuple[int, bytes]]:
    votes = []
    for item in _list(value, "votes"):
        if not isinstance(item, list) or len(item) != 2:
            raise Invalid("votes: one is no number with a signature")
        votes.append((_number(item[0], "votes: a delegate's number"), from_base64url(item[1], "votes: a signature")))
    return votes


def _logged(value: Any, what: str) -> bytes:
    return from_base64url(_object(value, {"transaction", "index", "path"}, what)["transaction"], f"{what}.transaction")


def _check_in_log(part: dict[str, Any], raw: bytes, head: Header, what: str) -> None:
    index, path = _number(part["index"], f"{what}.index"), _path(part["path"], f"{what}.path")
    if tree.root_by_index(tree.leaf(raw), index, head.log_size, path, f"{what}.path") != head.log_root:
        raise Invalid(f"{what}.path does not lead to the header's log root")


def _check_record_path(record: dict[str, Any]) -> bytes:
    path = _sided_path(record["path"], "record.path")
    if all(side == "right" for side, _ in path):
        raise Invalid("record.path is that of the bundle's first leaf, where no record stands")
    return tree.root_by_sides(tree.leaf(_hash(record["commitment"], "record.commitment")), path)


def _check_container(value: Any, bundle_root: bytes, anchor: transaction.Anchor) -> None:
    bundle = _object(value, {"index", "size", "path"}, "bundle")
    index, size = _number(bundle["index"], "bundle.index"), _number(bundle["size"], "bundle.size")
    if size != anchor.bundles:
        raise Invalid("bundle.size is not the number of bundles in the ANCHOR")
    if tree.root_by_index(tree.leaf(bundle_root), index, size, _path(bundle["path"], "bundle.path"), "bundle.path") != anchor.root:
        raise Invalid("record.path and bundle.path do not lead to the root in the ANCHOR")


def _check_statement(receipt: dict[str, Any], bundle_root: bytes, head: Header, genesis: Genesis) -> str:
    part = _object(receipt["statement"], {"bytes", "salt", "path"}, "statement")
    raw = from_base64url(part["bytes"], "statement.bytes")
    path = _sided_path(part["path"], "statement.path")
    leaf = tree.leaf(_commitment(part["salt"], raw, "statement.salt"))
    if any(side == "left" for side, _ in path) or tree.root_by_sides(leaf, path) != bundle_root:
        raise Invalid("statement.path does not lead from the bundle's first leaf to the root of the record's bundle")
    told = statement.parse(raw)
    party = _issuer(receipt["issuer"], told.issuer, head, genesis)
    statement.check_signature(told, party)
    return (
        f"in a submission signed by {party.name}"
        if told.signed_by == "issuer"
        else f"in a submission attested by the gateway for {party.name}"
    )


def _issuer(value: Any, client_id: str, head: Header, genesis: Genesis) -> Party:
    if value == "genesis":
        if client_id not in genesis.parties:
            raise Invalid("issuer: genesis names no such party")
        return genesis.parties[client_id]
    raw = _logged(value, "issuer")
    registered = transaction.party(raw, genesis)
    _check_in_log(value, raw, head, "issuer")
    if registered.client_id != client_id:
        raise Invalid("issuer.transaction is of another party than the statement's issuer")
    return registered.party


def _commitment(salt: Any, data: bytes, what: str) -> bytes:
    raw = from_base64url(salt, what)
    if len(raw) != 32:
        raise Invalid(f"{what} does not have 32 bytes")
    return sha256(_COMMITMENT + raw + data).digest()


def _check_record(part: dict[str, Any], record: bytes) -> None:
    if "salt" not in part:
        raise Unreadable("this is a public receipt: without the salt no record can be compared with it")
    if _commitment(part["salt"], record, "record.salt").hex() != part["commitment"]:
        raise Invalid("the record is not, byte for byte, the one that was committed to")
    try:
        found = json.loads(record)
        reference = f"{found['resourceType']}/{found['id']}/_history/{found['meta']['versionId']}"
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Invalid("the record does not say its type, id and version") from error
    if reference != part["reference"]:
        raise Invalid("record.reference is not what the record's bytes say")
