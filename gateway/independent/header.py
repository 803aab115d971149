"""A block's header and the votes that made it final (docs/design/ledger.md)."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.independent import cbor, signatures
from gateway.independent.cbor import Value
from gateway.independent.faults import Invalid
from gateway.independent.genesis import Genesis

_KINDS = (int, bytes, int, int, int, bytes, int, bytes, bytes, bytes, bytes, bytes, bytes)
_SIZES = {1: 32, 5: 32, 7: 32, 8: 33, 9: 32, 10: 32, 11: 32}  # the state root has its version before it
_MAX = (1 << 63) - 1


class Header(NamedTuple):
    height: int
    time: int  # seconds since the epoch: when the slot began
    log_size: int
    log_root: bytes
    state_root: bytes  # with its version before it
    following: bytes  # hash of the delegates of the next epoch


class Acting(NamedTuple):
    """Who acts after a height: public keys, a delegate's number being its place."""

    after: int
    delegates: tuple[bytes, ...]
    next_hash: bytes | None = None  # of the very next block, where that is pinned

    @property
    def quorum(self) -> int:
        return 2 * (len(self.delegates) - 1) // 3 + 1


def final(raw: bytes, votes: Sequence[tuple[int, bytes]], genesis: Genesis, acting: Acting) -> Header:
    """A well-formed header of this chain that a quorum of those who act voted for. Raises Invalid."""
    header = _read(raw, genesis, acting)
    _check_votes(raw, header.height, votes, genesis, acting)
    return header


def handed_over(raw: bytes, votes: Sequence[tuple[int, bytes]], delegates: Sequence[bytes], genesis: Genesis, acting: Acting) -> Acting:
    """Who acts after the epoch that this final header ends. Raises Invalid."""
    header = final(raw, votes, genesis, acting)
    if not genesis.elects or header.height % genesis.epoch_blocks:
        raise Invalid("header is not the last of an epoch of a chain that elects")
    if header.following != set_hash(genesis.chain_id, delegates):
        raise Invalid("its delegates are not those that its header names")
    check_can_act(delegates)
    if tuple(delegates) == acting.delegates:
        raise Invalid("it changes nothing")
    return Acting(header.height, tuple(delegates))


def check_can_act(delegates: Sequence[bytes]) -> None:
    """Raises Invalid unless they are 3f+1 different keys, each such as may be enrolled."""
    if len(delegates) % 3 != 1 or len(set(delegates)) != len(delegates):
        raise Invalid("its delegates are not 3f+1 different ones")
    for key in delegates:
        signatures.public_key(key, "a delegate's key")


def set_hash(chain_id: bytes, delegates: Sequence[bytes]) -> bytes:
    """Over the CBOR array of the delegates' keys."""
    keys = b"".join(b"\x58\x20" + key for key in delegates)
    return signatures.labelled_hash(signatures.DELEGATES, chain_id, cbor.head(4, len(delegates)) + keys)


def block_hash(raw: bytes, genesis: Genesis) -> bytes:
    """What votes are over, and what a pin names a block by."""
    return signatures.labelled_hash(signatures.BLOCK, genesis.chain_id, raw)


def height_of(raw: bytes) -> int:
    """The height that a well-formed header says, whoever made it. Raises Invalid."""
    return _int(_fields(raw)[2])


def _fields(raw: bytes) -> dict[int, Value]:
    found = cbor.decode(raw, "header")
    if not isinstance(found, dict) or list(found) != list(range(len(_KINDS))):
        raise Invalid("header does not have exactly the fields 0 to 12")
    if any(type(found[number]) is not kind for number, kind in enumerate(_KINDS)):
        raise Invalid("header has a field of another kind")
    if any(len(_bytes(found[number])) != size for number, size in _SIZES.items()):
        raise Invalid("header has a hash or key of another size")
    if found[0] not in (1, 2) or any(not 0 <= _int(found[number]) <= _MAX for number in (2, 3, 4, 6)):
        raise Invalid("header is of another version, or has an impossible number")
    return found


def _read(raw: bytes, genesis: Genesis, acting: Acting) -> Header:
    found = _fields(raw)
    height, slot, time, log_size = (_int(found[number]) for number in (2, 3, 4, 6))
    if found[1] != genesis.chain_id or height == 0:
        raise Invalid("header is of another chain, or of no block")
    if time != genesis.started_at + slot * genesis.slot_seconds:
        raise Invalid("header: its time is not that of its slot")
    if height <= acting.after:
        raise Invalid("header is not later than the handovers before it")
    if found[9] != set_hash(genesis.chain_id, acting.delegates) or found[11] not in acting.delegates:
        raise Invalid("header: its delegates are not those that act")
    if acting.next_hash is not None and height == acting.after + 1 and block_hash(raw, genesis) != acting.next_hash:
        raise Invalid("header is not the pinned one")
    return Header(height, time, log_size, _bytes(found[7]), _bytes(found[8]), _bytes(found[10]))


def _check_votes(raw: bytes, height: int, votes: Sequence[tuple[int, bytes]], genesis: Genesis, acting: Acting) -> None:
    """Raises Invalid unless exactly 2f+1 delegates, by ascending number, voted for this header."""
    numbers = [number for number, _ in votes]
    if len(votes) != acting.quorum:
        raise Invalid(f"votes: {len(votes)}, where exactly {acting.quorum} make a quorum")
    if numbers != sorted(set(numbers)) or numbers[-1] >= len(acting.delegates):
        raise Invalid("votes are not by different delegates in ascending order")
    voted = b"\x82" + cbor.head(0, height) + b"\x58\x20" + block_hash(raw, genesis)
    message = signatures.labelled(signatures.VOTE, genesis.chain_id, voted)
    for number, signature in votes:
        signatures.check(acting.delegates[number], message, signature, f"the vote of delegate {number}")


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
