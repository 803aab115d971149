"""A block's header and the votes that made it final (docs/design/ledger.md)."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.independent import cbor, signatures
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
    following: bytes  # hash of the delegates of the next epoch


class Acting(NamedTuple):
    """Who acts after a height: public keys, a delegate's number being its place."""

    after: int
    delegates: tuple[bytes, ...]

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
    if len(delegates) % 3 != 1 or header.following != set_hash(genesis.chain_id, delegates):
        raise Invalid("its delegates are not those that its header names")
    if tuple(delegates) == acting.delegates:
        raise Invalid("it changes nothing")
    return Acting(header.height, tuple(delegates))


def set_hash(chain_id: bytes, delegates: Sequence[bytes]) -> bytes:
    """Over the CBOR array of the delegates' keys."""
    count = len(delegates)
    head = bytes([0x80 + count]) if count < 24 else b"\x98" + bytes([count]) if count < 256 else b"\x99" + count.to_bytes(2, "big")
    return signatures.labelled_hash(signatures.DELEGATES, chain_id, head + b"".join(b"\x58\x20" + key for key in delegates))


def _read(raw: bytes, genesis: Genesis, acting: Acting) -> Header:
    found = cbor.decode(raw, "header")
    if not isinstance(found, dict) or list(found) != list(range(len(_KINDS))):
        raise Invalid("header does not have exactly the fields 0 to 12")
    if any(type(found[number]) is not kind for number, kind in enumerate(_KINDS)):
        raise Invalid("header has a field of another kind")
    if any(len(_bytes(found[number])) != size for number, size in _SIZES.items()):
        raise Invalid("header has a hash or key of another size")
    version, height, slot, time, log_size = (_int(found[number]) for number in (0, 2, 3, 4, 6))
    if version not in (1, 2) or found[1] != genesis.chain_id:
        raise Invalid("header is of another version or chain")
    if not (1 <= height <= _MAX and 0 <= slot <= _MAX and 0 <= log_size <= _MAX):
        raise Invalid("header has an impossible height, slot or log size")
    if time != genesis.started_at + slot * genesis.slot_seconds:
        raise Invalid("header: its time is not that of its slot")
    if height <= acting.after:
        raise Invalid("header is not later than the handovers before it")
    if found[9] != set_hash(genesis.chain_id, acting.delegates) or found[11] not in acting.delegates:
        raise Invalid("header: its delegates are not those that act")
    return Header(height, time, log_size, _bytes(found[7]), _bytes(found[10]))


def _check_votes(raw: bytes, height: int, votes: Sequence[tuple[int, bytes]], genesis: Genesis, acting: Acting) -> None:
    """Raises Invalid unless exactly 2f+1 delegates, by ascending number, voted for this header."""
    numbers = [number for number, _ in votes]
    if len(votes) != acting.quorum:
        raise Invalid(f"votes: {len(votes)}, where exactly {acting.quorum} make a quorum")
    if numbers != sorted(set(numbers)) or numbers[-1] >= len(acting.delegates):
        raise Invalid("votes are not by different delegates in ascending order")
    block_hash = signatures.labelled_hash(signatures.BLOCK, genesis.chain_id, raw)
    message = signatures.labelled(signatures.VOTE, genesis.chain_id, b"\x82" + _cbor_number(height) + b"\x58\x20" + block_hash)
    for number, signature in votes:
        signatures.check(acting.delegates[number], message, signature, f"the vote of delegate {number}")


def _cbor_number(number: int) -> bytes:
    """RFC 8949, 3.1: the shortest form."""
    if number < 24:
        return bytes([number])
    width = next(w for w in (1, 2, 4, 8) if number < 1 << (8 * w))
    return bytes([23 + width.bit_length()]) + number.to_bytes(width, "big")


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
