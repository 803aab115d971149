"""All of a snapshot but its entries: the blocks that the next one depends on, and the edge of the log. Every part of it is verified from
the last block's header, and that by handovers and votes (docs/design/ledger.md, snapshot).
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from chain.block import BlockInvalid, Header, Vote, bitmap, verify_header_signature, verify_quorum
from chain.delegate_set import DelegateSet
from chain.election import ATTENDANCE_BLOCKS
from chain.genesis import Genesis
from chain.keys import SignatureInvalid
from chain.log import TILE_BITS, TILE_WIDTH, Tiles, read_head
from chain.merkle import HASH_SIZE, ProofError
from chain.proof import Handover, Known, verify_finality, verify_handovers
from chain.record_file import FileInvalid, header_in
from chain.schedule import epoch_seed_height

OTHER_HEIGHT = "the snapshot's last block is not the one that it is of"


class TrailBlock(Struct, frozen=True):
    """A block without its transactions."""

    header: bytes
    signature: bytes
    votes: tuple[Vote, ...]


class Edge(Struct, frozen=True):
    """All of a snapshot but its entries, checked."""

    header: Header
    trail: tuple[TrailBlock, ...]  # up to and including the header's block
    tiles: Tiles  # the last of each level that is not full


def first_needed(genesis: Genesis, height: int) -> int:
    """The first height whose header or votes the block after `height` depends on."""
    return max(1, min(epoch_seed_height(height + 1, genesis.epoch_blocks) or height, height - ATTENDANCE_BLOCKS + 1))


def edge_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """Level, number and hashes of each tile that is not full in a log of `size`: what appending to it takes."""
    level = 0
    while size:
        if size % TILE_WIDTH:
            yield level, size >> TILE_BITS, size % TILE_WIDTH
        level, size = level + 1, size >> TILE_BITS


def handed_over(handover: Handover, genesis: Genesis, known: Known) -> Known:
    """Who acts after one more handover. Raises `FileInvalid`."""
    try:
        return verify_handovers([handover], genesis, known)
    except ProofError as error:
        raise FileInvalid(f"the snapshot's block is not final: {error}") from None


def verified_edge(genesis: Genesis, acting: Sequence[Known], height: int, trail: tuple[TrailBlock, ...], tiles: Tiles) -> Edge:
    """The edge, if all of it follows from the last block of the trail, which is final by the last of `acting`. Raises `FileInvalid`."""
    if not trail:
        raise FileInvalid("the snapshot has no block")
    known = acting[-1]
    try:
        header = verify_finality(trail[-1].header, trail[-1].votes[: known.acting.quorum], genesis, known)
        verify_quorum(genesis.chain_id, known.acting, header.height, header.hash(), trail[-1].votes)
    except (ProofError, BlockInvalid) as error:
        raise FileInvalid(f"the snapshot's block is not final: {error}") from None
    if header.height != height:
        raise FileInvalid(OTHER_HEIGHT)
    headers = [header_of(one.header) for one in trail]
    _check_trail(genesis, headers, trail)
    _check_signatures(genesis, {one.acting.hash: one.acting for one in acting}, headers, trail)
    _check_tiles(header, tiles)
    return Edge(header, trail, tiles)


def _check_trail(genesis: Genesis, headers: list[Header], trail: tuple[TrailBlock, ...]) -> None:
    """Each block is the one that its successor names, with the votes that it names; and they reach back as far as is needed."""
    for one, votes, following in zip(headers, (row.votes for row in trail), headers[1:], strict=False):
        if one.hash() != following.previous or one.height != following.height - 1:
            raise FileInvalid(f"the snapshot's block of height {one.height} is not the one before its successor")
        bits = 8 * len(following.voters)
        if max((vote.delegate for vote in votes), default=0) >= bits or bitmap(votes, bits) != following.voters:
            raise FileInvalid(f"the snapshot's votes of height {one.height} are not those that its successor names")
    first = first_needed(genesis, headers[-1].height)
    if headers[0].height != first:
        raise FileInvalid(f"the snapshot's blocks do not begin at height {first}")


def _check_signatures(genesis: Genesis, sets: Mapping[bytes, DelegateSet], headers: list[Header], trail: tuple[TrailBlock, ...]) -> None:
    """The copy shows them to others. Who acted before the reader began is not known to it: there the hashes are all that is checked."""
    for header, one in zip(headers, trail, strict=True):
        try:
            verify_header_signature(header.producer, genesis.chain_id, one.header, one.signature)
            if header.delegates_hash in sets:
                verify_quorum(genesis.chain_id, sets[header.delegates_hash], header.height, header.hash(), one.votes)
        except (BlockInvalid, SignatureInvalid) as error:
            raise FileInvalid(f"the snapshot's block of height {header.height}: {error}") from None


def _check_tiles(header: Header, tiles: Tiles) -> None:
    due = {(level, number): count for level, number, count in edge_tiles(header.log_size)}
    if {at: len(hashes) for at, hashes in tiles.items()} != {at: count * HASH_SIZE for at, count in due.items()}:
        raise FileInvalid("the snapshot's log tiles are not the edge of its header's log")
    if read_head(lambda level, number: tiles.get((level, number), b""), header.log_size).root() != header.log_root:
        raise FileInvalid("the snapshot's log tiles do not give the log root of its header")


def header_of(raw: bytes) -> Header:
    """The header in these bytes. Raises `FileInvalid`, `FormatUnknown`."""
    return header_in(raw, "the snapshot has a header that is none")
