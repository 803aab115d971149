"""Headers, blocks and votes: their bytes, hashes and signatures (docs/design/ledger.md).

A block's hash is its header's. The header commits to every transaction, signatures included, through the log root, and to all that follows
from them through the state root; whose votes made the block final stands in the next header.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from chain.delegate_set import DelegateSet
from chain.encoding import EncodingError, decode, encode
from chain.errors import LedgerError
from chain.findings import Code
from chain.format import FORMATS, LATEST
from chain.keys import BLOCK, HEADER, PUBLIC_KEY_SIZE, VOTE, ChainId, SignatureInvalid, SigningKey, labelled_hash, verify
from chain.kinds import MAX_HEIGHT

_SIZES = {"chain_id": 32, "previous": 32, "log_root": 32, "state_root": 33, "delegates_hash": 32, "next_delegates_hash": 32}
_COUNTS = ("height", "slot", "time", "log_size")


class BlockInvalid(LedgerError):
    """A block does not follow from its predecessor; `code` is the finding that an audit makes of it."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class FormatUnknown(BlockInvalid):
    """The block may hold; it has a version that came after this program."""

    def __init__(self, version: int, height: object) -> None:
        where = f"from height {height} on " if type(height) is int else ""
        known = f"this program knows versions 1 to {LATEST}"
        super().__init__(Code.BLOCK_INVALID, f"{where}the chain has version {version} of its format and {known}: install a newer one")


class Vote(NamedTuple):
    delegate: int  # index in the set of delegates
    signature: bytes


def listed_votes(votes: Iterable[Vote]) -> list[list[Any]]:
    """Votes as they stand in CBOR: pairs of index and signature."""
    return [list(vote) for vote in votes]


def parse_votes(listed: Any) -> tuple[Vote, ...]:
    """The votes of such a list; whether they hold is not looked at. Raises `EncodingError`."""
    if type(listed) is not list or not all(type(vote) is list and [type(part) for part in vote] == [int, bytes] for vote in listed):
        raise EncodingError("the votes are no list of pairs")
    return tuple(Vote(delegate, signature) for delegate, signature in listed)


class Header(Struct, frozen=True):
    """Field n of the encoding is the n-th attribute."""

    version: int
    chain_id: ChainId
    height: int  # the first block has 1
    slot: int
    time: int  # seconds since the epoch: when the slot begins
    previous: bytes  # hash of the block before, the chain id at height 1
    log_size: int  # after this block
    log_root: bytes
    state_root: bytes
    delegates_hash: bytes
    next_delegates_hash: bytes
    producer: bytes  # public key
    voters: bytes  # bitmap of the votes that made the previous block final; bit i of byte j is delegate 8j + i

    def to_bytes(self) -> bytes:
        return encode({number: getattr(self, name) for number, name in enumerate(self.__struct_fields__)})

    @classmethod
    def from_bytes(cls, header: bytes) -> "Header":
        """Reads strictly. Raises `BlockInvalid`, for a version that is not known `FormatUnknown`."""
        try:
            fields = decode(header)
        except EncodingError:
            raise BlockInvalid(Code.BLOCK_INVALID, "the header does not decode") from None
        if type(fields) is dict and type(fields.get(0)) is int and fields[0] > LATEST:
            raise FormatUnknown(fields[0], fields.get(2))
        if type(fields) is not dict or list(fields) != list(range(len(cls.__struct_fields__))):
            raise BlockInvalid(Code.BLOCK_INVALID, "the header does not have exactly its fields")
        values = dict(zip(cls.__struct_fields__, fields.values(), strict=True))
        _check_types(values)
        return cls(**values)

    def hash(self) -> bytes:
        """The block's hash."""
        return block_hash(self.chain_id, self.to_bytes())


class Proposal(Struct, frozen=True):
    """A block before it is final; without a signature, before it is signed."""

    header: bytes
    transactions: tuple[bytes, ...]
    signature: bytes | None = None


class FinalBlock(Struct, frozen=True):
    """A block with the votes that made it final, in the order of delegates."""

    header: Header
    hash: bytes
    signature: bytes  # the producer's, over the header's bytes
    transactions: tuple[bytes, ...]
    votes: tuple[Vote, ...]

    @property
    def first_log_index(self) -> int:
        return self.header.log_size - len(self.transactions)


def _check_types(values: dict[str, Any]) -> None:
    if type(values["version"]) is not int or values["version"] not in FORMATS:
        raise BlockInvalid(Code.BLOCK_INVALID, "the header has an unknown version")
    if not all(type(values[name]) is int and 0 <= values[name] <= MAX_HEIGHT for name in _COUNTS):
        raise BlockInvalid(Code.BLOCK_INVALID, "the header has an impossible number")
    sizes = {**_SIZES, "producer": PUBLIC_KEY_SIZE}
    if not all(type(values[name]) is bytes and len(values[name]) == size for name, size in sizes.items()):
        raise BlockInvalid(Code.BLOCK_INVALID, "the header has a hash or key of the wrong size")
    if type(values["voters"]) is not bytes:
        raise BlockInvalid(Code.BLOCK_INVALID, "the header has no bitmap of votes")


def block_hash(chain_id: ChainId, header: bytes) -> bytes:
    """The hash of the block with these header bytes."""
    return labelled_hash(BLOCK, chain_id, header)


def sign_header(key: SigningKey, chain_id: ChainId, header: bytes) -> bytes:
    """The producer's signature. The caller has written its watermark."""
    return key.sign(HEADER, chain_id, header)


def verify_header_signature(producer: bytes, chain_id: ChainId, header: bytes, signature: bytes) -> None:
    """Raises `chain.keys.SignatureInvalid`."""
    verify(producer, HEADER, chain_id, header, signature)


def sign_vote(key: SigningKey, chain_id: ChainId, height: int, hash_: bytes) -> bytes:
    """A delegate's vote. The caller has executed the block and written its watermark."""
    return key.sign(VOTE, chain_id, encode([height, hash_]))


def verify_vote(chain_id: ChainId, delegates: DelegateSet, height: int, hash_: bytes, vote: Vote) -> None:
    """Raises `chain.keys.SignatureInvalid`. The index must be one of the set's."""
    verify_vote_of(delegates.keys[vote.delegate], chain_id, height, hash_, vote.signature)


def verify_vote_of(delegate: bytes, chain_id: ChainId, height: int, hash_: bytes, signature: bytes) -> None:
    """Raises `chain.keys.SignatureInvalid`; `delegate` is a public key."""
    verify(delegate, VOTE, chain_id, encode([height, hash_]), signature)


def verify_quorum(chain_id: ChainId, delegates: DelegateSet, height: int, hash_: bytes, votes: tuple[Vote, ...]) -> None:
    """Raises `BlockInvalid` unless the votes make the block final: a quorum or more, in ascending order, and every one of them holds."""
    indices = [vote.delegate for vote in votes]
    if indices != sorted(set(indices)) or len(votes) < delegates.quorum or not 0 <= indices[0] <= indices[-1] < len(delegates.keys):
        raise BlockInvalid(Code.VOTE_INVALID, "the votes are not a quorum of different delegates in ascending order")
    for vote in votes:
        try:
            verify_vote(chain_id, delegates, height, hash_, vote)
        except SignatureInvalid:
            raise BlockInvalid(Code.VOTE_INVALID, f"the vote of delegate {vote.delegate} does not hold") from None


def bitmap(votes: tuple[Vote, ...], delegates: int) -> bytes:
    """The header's record of who voted: one bit a delegate, in as many bytes as the set needs."""
    bits = sum(1 << vote.delegate for vote in votes)
    return bits.to_bytes((delegates + 7) // 8, "little")
