"""Verification of a receipt, step by step as docs/design/receipt.md numbers them."""

import re
from hashlib import sha256
from typing import Any, NamedTuple

from gateway.independent import fields, json_text, pin, statement, transaction, tree
from gateway.independent import genesis as genesis_file
from gateway.independent.faults import Invalid, Unreadable
from gateway.independent.genesis import Genesis, Party
from gateway.independent.header import Header
from gateway.independent.statement import from_base64url

FORMAT = "fhir-anchor receipt 1"
_PUBLIC = {"format", "chain_id", "record", "bundle", "anchor", "header", "votes", "handovers"}
_COMMITMENT = b"fhir-anchor/record-commitment/v1\x00"
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}/_history/[A-Za-z0-9.-]{1,64}", re.ASCII)


class Verdict(NamedTuple):
    """What a valid receipt says; the same fields as the first verifier's."""

    reference: str
    height: int
    accepted_at: int  # the block's time, seconds since the epoch
    votes: int
    delegates: int
    who: str | None
    not_checked: tuple[str, ...]


def verify_receipt(receipt_bytes: bytes, genesis_bytes: bytes, record: bytes | None, pin_bytes: bytes | None = None) -> Verdict:
    """Raises Invalid or Unreadable."""
    genesis = genesis_file.read(genesis_bytes)  # 1
    pinned = pin.read_if_any(pin_bytes, genesis)
    receipt = _receipt(receipt_bytes)  # 2
    head, delegates = fields.accepted(receipt, genesis, pinned)  # 3 to 5
    anchor_bytes = fields.transaction_of(receipt["anchor"], "anchor")
    anchor = transaction.anchor(anchor_bytes, genesis)  # 6
    fields.check_in_log(receipt["anchor"], anchor_bytes, head, "anchor")
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
        delegates,
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
    found = fields.load(data)
    full = isinstance(found, dict) and ("statement" in found or "issuer" in found)
    receipt = fields.of_names(found, _PUBLIC | ({"statement", "issuer"} if full else set()), "the receipt")
    if receipt["format"] != FORMAT:
        raise Invalid("format is not that of a receipt")
    names = {"reference", "commitment", "path"} | ({"salt"} if full else set())
    reference = fields.of_names(receipt["record"], names, "record")["reference"]
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise Invalid("record.reference is not of the form Type/id/_history/version")
    if full:
        _salt(receipt["record"]["salt"], "record.salt")
    return receipt


def _check_record_path(record: dict[str, Any]) -> bytes:
    path = fields.sided_path(record["path"], "record.path")
    if all(side == "right" for side, _ in path):
        raise Invalid("record.path is that of the bundle's first leaf, where no record stands")
    return tree.root_by_sides(tree.leaf(fields.hash_of(record["commitment"], "record.commitment")), path)


def _check_container(value: Any, bundle_root: bytes, anchor: transaction.Anchor) -> None:
    bundle = fields.of_names(value, {"index", "size", "path"}, "bundle")
    index, size = fields.number(bundle["index"], "bundle.index"), fields.number(bundle["size"], "bundle.size")
    if size != anchor.bundles:
        raise Invalid("bundle.size is not the number of bundles in the ANCHOR")
    if tree.root_by_index(tree.leaf(bundle_root), index, size, fields.path(bundle["path"], "bundle.path"), "bundle.path") != anchor.root:
        raise Invalid("record.path and bundle.path do not lead to the root in the ANCHOR")


def _check_statement(receipt: dict[str, Any], bundle_root: bytes, head: Header, genesis: Genesis) -> str:
    part = fields.of_names(receipt["statement"], {"bytes", "salt", "path"}, "statement")
    raw = from_base64url(part["bytes"], "statement.bytes")
    path = fields.sided_path(part["path"], "statement.path")
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
    raw = fields.transaction_of(value, "issuer")
    registered = transaction.party(raw, genesis)
    fields.check_in_log(value, raw, head, "issuer")
    if registered.client_id != client_id:
        raise Invalid("issuer.transaction is of another party than the statement's issuer")
    return registered.party


def _commitment(salt: Any, data: bytes, what: str) -> bytes:
    return sha256(_COMMITMENT + _salt(salt, what) + data).digest()


def _salt(text: Any, what: str) -> bytes:
    raw = from_base64url(text, what)
    if len(raw) != 32:
        raise Invalid(f"{what} does not have 32 bytes")
    return raw


def _check_record(part: dict[str, Any], record: bytes) -> None:
    if "salt" not in part:
        raise Unreadable("this is a public receipt: without the salt no record can be compared with it")
    if _commitment(part["salt"], record, "record.salt").hex() != part["commitment"]:
        raise Invalid("the record is not, byte for byte, the one that was committed to")
    try:
        found = json_text.load_record(record)
        said = [found["resourceType"], found["id"], found["meta"]["versionId"]]
    except (ValueError, TypeError, KeyError) as error:
        raise Invalid("the record does not say its type, id and version") from error
    if not all(isinstance(one, str) for one in said) or "{}/{}/_history/{}".format(*said) != part["reference"]:
        raise Invalid("record.reference is not what the record's bytes say")
