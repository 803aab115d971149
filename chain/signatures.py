"""The signatures of recorded blocks, many at a time: what an audit has other processes verify before it comes to them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chain.block import BlockInvalid, Header, block_hash, verify_header_signature, verify_quorum
from chain.delegate_set import DelegateSet
from chain.encoding import EncodingError
from chain.execution import is_signed
from chain.keys import ChainId, SignatureInvalid
from chain.queries import votes_from


class RecordedBlock(NamedTuple):
    """A row of the `block` table, as far as it is signed."""

    height: int
    header: bytes
    signature: bytes
    votes: bytes


class Signed(NamedTuple):
    """What holds. What is not in here may hold as well: nobody has found out."""

    producers: frozenset[int] = frozenset()  # heights of the blocks whose producer signed them
    votes: Mapping[int, bytes] = {}  # height -> hash of the set of delegates of which a quorum, and nobody else, voted for the block
    transactions: frozenset[int] = frozenset()  # log indices of the transactions that are signed


def signed(chain_id: ChainId, blocks: Sequence[RecordedBlock], transactions: Mapping[int, bytes], sets: Sequence[DelegateSet]) -> Signed:
    """Which signatures of these blocks and transactions (log index -> bytes) hold, votes being of one of `sets`."""
    acting = {one.hash: one for one in sets}
    producers, votes = set(), {}
    for row in blocks:
        try:
            header = Header.from_bytes(row.header)
            verify_header_signature(header.producer, chain_id, row.header, row.signature)
            producers.add(row.height)
            if header.delegates_hash in acting:
                hash_ = block_hash(chain_id, row.header)
                verify_quorum(chain_id, acting[header.delegates_hash], header.height, hash_, votes_from(row.votes))
                votes[row.height] = header.delegates_hash
        except (BlockInvalid, EncodingError, SignatureInvalid):
            continue
    return Signed(frozenset(producers), votes, frozenset(index for index, raw in transactions.items() if is_signed(raw, chain_id)))
