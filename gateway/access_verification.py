"""Offline verification of an access receipt: bytes in, a verdict out, or ReceiptInvalid. docs/design/access.md numbers the steps."""

from typing import NamedTuple

from chain import merkle
from chain.access_batch import AccessBatchBody
from chain.genesis import Genesis
from gateway import access_receipt_format
from gateway.access_receipt_format import LoggedAccess
from gateway.consent.access import Access, NotAnAccess
from gateway.recorded import Begin, ReceiptInvalid, read_file, verify_logged
from gateway.vault import primitives


class AccessVerdict(NamedTuple):
    """What a valid access receipt says: that a gateway wrote down, no later than the block, that this party got these records."""

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


def verify_access_receipt(receipt_bytes: bytes, genesis_bytes: bytes, pin_bytes: bytes | None = None) -> AccessVerdict:
    """Every step. Raises ReceiptInvalid and CouldNotCheck."""
    begin = Begin(genesis_bytes, pin_bytes)
    receipt, (header, acting) = read_file(receipt_bytes, access_receipt_format.from_json, begin, "access receipt")
    batch = verify_logged(receipt.batch, header, begin, "batch").body
    if not isinstance(batch, AccessBatchBody):
        raise ReceiptInvalid("batch.transaction is of another kind")
    access = _verified_access(receipt.access, batch, begin.genesis)
    records = tuple(f"{id_.hex()}/_history/{version}" for id_, version in access.records)
    said = (access.client_id, access.purpose, access.grant_id.hex(), records, access.sequence, access.accessed_ms)
    return AccessVerdict(*said, header.height, header.time, len(receipt.votes), len(acting.keys))


def _verified_access(logged: LoggedAccess, batch: AccessBatchBody, genesis: Genesis) -> Access:
    """Steps 7 to 9."""
    try:
        access = Access.from_bytes(logged.entry)
    except NotAnAccess:
        raise ReceiptInvalid("access.entry is no entry of an access log") from None
    if len(logged.salt) != primitives.SALT_BYTES:
        raise ReceiptInvalid(f"access.salt does not have {primitives.SALT_BYTES} bytes")
    leaf = merkle.leaf_hash(primitives.access_commitment(genesis.chain_id, logged.salt, logged.entry))
    try:
        root = merkle.root_from_path(leaf, logged.index, batch.leaves, logged.path)
    except merkle.ProofError as error:
        raise ReceiptInvalid(f"access.path: {error}") from error
    if root != batch.root:
        raise ReceiptInvalid("access.path does not lead from the entry to the root in the ACCESS_BATCH")
    if not _has_room(access.sequence, logged.index, batch):
        raise ReceiptInvalid("access.entry has a number that its place in the ACCESS_BATCH leaves no room for")
    return access


def _has_room(sequence: int, index: int, batch: AccessBatchBody) -> bool:
    """The first leaf has the first number, the last the last, and those between ascend."""
    after = batch.leaves - 1 - index
    lowest = batch.first + index if after else batch.last
    highest = batch.last - after if index else batch.first
    return lowest <= sequence <= highest
