"""A pin: what a verifier keeps of a header that it has verified, to begin there the next time (docs/design/ledger.md, pins).

It is the verifier's own, and believed like the genesis file: a pin that cannot be used means "could not check", never "invalid".
"""

from functools import lru_cache
from typing import NamedTuple

from chain.block import Header
from chain.delegate_set import DelegateSet
from chain.genesis import Genesis
from chain.proof import Pin
from gateway.errors import CouldNotCheck
from gateway.proof_format import PIN, PinFile
from gateway.receipt_json import Hash, NoReceipt, read_strictly, to_json


class Pinned(NamedTuple):
    """What a pin file says: where to begin, and the log there."""

    pin: Pin
    log_size: int
    log_root: bytes


@lru_cache(maxsize=8)
def pin_of(pin_bytes: bytes, genesis: Genesis) -> Pinned:
    """Raises CouldNotCheck for a file that is no pin of this chain."""
    try:
        found = read_strictly(pin_bytes, PinFile)
    except NoReceipt as error:
        raise CouldNotCheck(f"the pin is none: {error}") from error
    if found.chain_id != bytes(genesis.chain_id):
        raise CouldNotCheck("the pin is of another chain than the genesis file")
    acting = DelegateSet.of(genesis.chain_id, [bytes(key) for key in found.delegates])
    if found.height < 1 or not acting.can_act:
        raise CouldNotCheck("the pin is none: its height or its delegates are impossible")
    return Pinned(Pin(found.height, bytes(found.hash), acting), found.log_size, bytes(found.log_root))


def pin_file(header: Header, acting: DelegateSet) -> bytes:
    """The file for a header that was verified, and for who voted for it."""
    delegates = tuple(map(Hash, acting.keys))
    return to_json(
        PinFile(PIN, Hash(header.chain_id), header.height, Hash(header.hash()), header.log_size, Hash(header.log_root), delegates)
    )
