"""Offline verification of a receipt: bytes in, a verdict out, or ReceiptInvalid. docs/design/receipt.md numbers the steps.

Nothing is asked of a gateway or a ledger: the receipt, genesis.json and, for the record itself, its bytes as served are all there is.
"""

import json
from functools import lru_cache
from typing import NamedTuple

import msgspec

from chain import merkle
from chain.block import Header
from chain.transactions import AnchorBody, PartyAction, PartyBody
from gateway import receipt_format
from gateway.errors import CouldNotCheck
from gateway.finality_format import LoggedTransaction
from gateway.receipt_format import Bundle, Receipt, Record, Statement
from gateway.receipt_json import no_float, no_name_twice
from gateway.recorded import Begin, ReceiptInvalid, read_file, verify_logged
from gateway.vault import primitives, submission

RECORD_NOT_CHECKED = "the record itself: none was given, so its name is only what the receipt's file says"
ISSUER_NOT_CHECKED = "who submitted it: this is a public receipt, which does not say"


class Verdict(NamedTuple):
    """What a valid receipt says."""

    reference: str  # Type/id/_history/version; checked only with the record
    height: int
    accepted_at: int  # the block's time, seconds since the epoch
    votes: int
    delegates: int
    who: str | None  # "in a submission signed by NAME" or "... attested by the gateway for NAME"; None in a public receipt
    not_checked: tuple[str, ...]


def verify_receipt(receipt_bytes: bytes, genesis_bytes: bytes, record: bytes | None, pin_bytes: bytes | None = None) -> Verdict:
    """Every step; `record` is the body of `GET /fhir/Type/id` exactly as served. Raises ReceiptInvalid and CouldNotCheck."""
    begin = Begin(genesis_bytes, pin_bytes)
    receipt, (header, acting) = read_file(receipt_bytes, receipt_format.from_json, begin, "receipt")
    anchor = verify_logged(receipt.anchor, header, begin, "anchor").body
    if not isinstance(anchor, AnchorBody):
        raise ReceiptInvalid("anchor.transaction is of another kind")
    bundle_root = _bundle_root(receipt.record)
    _check_container(receipt.bundle, bundle_root, anchor)
    who = _verified_issuer(receipt, bundle_root, header, begin)
    if record is not None:
        _check_record(receipt.record, record)
    not_checked = [RECORD_NOT_CHECKED] if record is None else []
    if who is None:
        not_checked.append(ISSUER_NOT_CHECKED)
    return Verdict(receipt.record.reference, header.height, header.time, len(receipt.votes), len(acting.keys), who, tuple(not_checked))


@lru_cache(maxsize=1024)  # receipts of one submission share it
def _signed_statement(body: bytes, key: bytes) -> None:
    """Raises SubmissionInvalid."""
    submission.Statement.parse(body).verify(key)


def _bundle_root(record: Record) -> bytes:
    """Step 7. The first leaf of a bundle is the statement, which is no record."""
    if all(side == "right" for side, _ in record.path):
        raise ReceiptInvalid("record.path is that of the bundle's first leaf, where no record stands")
    return merkle.root_by_sides(merkle.leaf_hash(record.commitment), record.path)


@lru_cache(maxsize=1024)  # and this
def _check_container(bundle: Bundle, bundle_root: bytes, anchor: AnchorBody) -> None:
    """Step 8."""
    if bundle.size != anchor.bundles:
        raise ReceiptInvalid("bundle.size is not the number of bundles in the ANCHOR")
    try:
        root = merkle.root_from_path(merkle.leaf_hash(bundle_root), bundle.index, bundle.size, bundle.path)
    except merkle.ProofError as error:
        raise ReceiptInvalid(f"bundle.path: {error}") from error
    if root != anchor.root:
        raise ReceiptInvalid("record.path and bundle.path do not lead to the root in the ANCHOR")


def _verified_issuer(receipt: Receipt, bundle_root: bytes, header: Header, begin: Begin) -> str | None:
    """Steps 9 to 12: who submitted, and by whose signature. None for a public receipt."""
    if receipt.statement is msgspec.UNSET or receipt.issuer is msgspec.UNSET:
        return None
    return _submitted(receipt.statement, receipt.issuer, bundle_root, header, begin)


@lru_cache(maxsize=1024)  # receipts of one bundle share it
def _submitted(sealed: Statement, issuer: LoggedTransaction | str, bundle_root: bytes, header: Header, begin: Begin) -> str:
    leaf = merkle.leaf_hash(primitives.commitment(sealed.salt, sealed.bytes))
    if any(side == "left" for side, _ in sealed.path) or merkle.root_by_sides(leaf, sealed.path) != bundle_root:
        raise ReceiptInvalid("statement.path does not lead from the bundle's first leaf to the root of the record's bundle")
    try:
        statement = submission.Statement.parse(sealed.bytes)
    except submission.SubmissionInvalid as error:
        raise ReceiptInvalid(f"statement.bytes: {error}") from error
    party = _party(issuer, statement.issuer, header, begin)
    key = party.signing_key if statement.signed_by == "issuer" else party.attestation_key
    if key is None:
        raise ReceiptInvalid(f"the issuer has no key to sign as {statement.signed_by} with")
    try:
        _signed_statement(sealed.bytes, key)
    except submission.SubmissionInvalid as error:
        raise ReceiptInvalid(f"statement: {error}") from error
    return (
        f"in a submission signed by {party.name}"
        if statement.signed_by == "issuer"
        else f"in a submission attested by the gateway for {party.name}"
    )


def _party(issuer: LoggedTransaction | str, client_id: str, header: Header, begin: Begin) -> PartyBody:
    """Step 11: the party that the statement names, as the ledger or genesis itself registered it."""
    if not isinstance(issuer, LoggedTransaction):
        named = [party for party in begin.genesis.parties if party.client_id == client_id]
        if not named:
            raise ReceiptInvalid("issuer: genesis names no such party")
        return named[0]
    body = verify_logged(issuer, header, begin, "issuer").body
    if not isinstance(body, PartyBody) or body.action is PartyAction.SUSPEND:
        raise ReceiptInvalid("issuer.transaction registers no party")
    if body.client_id != client_id:
        raise ReceiptInvalid("issuer.transaction is of another party than the statement's issuer")
    return body


def _check_record(committed: Record, record: bytes) -> None:
    """Step 13."""
    if committed.salt is msgspec.UNSET:
        raise CouldNotCheck("this is a public receipt: without the salt no record can be compared with it")
    if primitives.commitment(committed.salt, record) != committed.commitment:
        raise ReceiptInvalid("the record is not, byte for byte, the one that was committed to")
    try:
        found = json.loads(record.decode(), object_pairs_hook=no_name_twice, parse_constant=no_float, parse_int=len)  # however long
        said = found["resourceType"], found["id"], found["meta"]["versionId"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ReceiptInvalid("the record does not say its type, id and version") from error
    if not all(isinstance(part, str) for part in said) or "{}/{}/_history/{}".format(*said) != committed.reference:
        raise ReceiptInvalid("record.reference is not what the record's bytes say")
