"""A whole chain in a file: its genesis and every final block with its votes, for whoever wants to check it without its database
(docs/design/ledger.md, export). What is read is executed and verified block by block; nothing in the file is believed.
"""

from collections.abc import Iterator
from typing import IO, Any

from chain.block import BlockInvalid, FinalBlock, listed_votes
from chain.committed import Committed
from chain.database import LedgerDamaged
from chain.genesis import Genesis, GenesisInvalid
from chain.keys import SignatureInvalid
from chain.ledger import Ledger
from chain.record_file import FileInvalid, header_in, read_records, votes_in, write_record
from chain.replica import Copy
from chain.snapshot import Progress
from chain.state_machine import StateMachine
from chain.store import LedgerStore

FORMAT = "fhir-anchor chain 1"


def write_chain(ledger: Ledger, genesis_bytes: bytes, file: IO[bytes], progress: Progress) -> int:
    """All blocks that are final now; the height of the last. Raises `LedgerDamaged` where one is not here whole."""
    last = ledger.height()
    write_record(file, [FORMAT, genesis_bytes, last])
    for height in range(1, last + 1):
        block = ledger.block(height)
        if block is None:
            raise LedgerDamaged(f"the block of height {height} is not here whole")
        write_record(file, [block.header.to_bytes(), block.signature, list(block.transactions), listed_votes(block.votes)])
        progress(height, last)
    return last


class ChainFile:
    """A file's chain as it is read: its genesis, how many blocks there are to come, and then these."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises `FileInvalid`."""
        self._records = read_records(file)
        match next(self._records, None):
            case [str(found), bytes(genesis_bytes), int(height)] if found == FORMAT:
                self.genesis_bytes, self.height = genesis_bytes, height
            case _:
                raise FileInvalid("the file is no exported chain, as `ledger export` writes it")
        try:
            self.genesis = Genesis.parse(self.genesis_bytes)
        except GenesisInvalid as error:
            raise FileInvalid(f"the genesis in the file is none: {error}") from None

    def into(self, store: LedgerStore, progress: Progress) -> None:
        """Verifies and stores every block in a new ledger of this genesis. Raises `FileInvalid` with the first height that does not hold,
        `FormatUnknown`.
        """
        copy = Copy(store, Committed.load(StateMachine(self.genesis), store))
        for block in self._blocks():
            try:
                copy.append(block)
            except (BlockInvalid, SignatureInvalid) as error:
                raise FileInvalid(f"height {copy.height + 1}: {error}") from None
            progress(copy.height, self.height)
        if copy.height != self.height:
            raise FileInvalid(f"height {copy.height + 1}: the file has other blocks than it says, {self.height}")

    def _blocks(self) -> Iterator[FinalBlock]:
        for number, record in enumerate(self._records, 1):
            match record:
                case [bytes(header), bytes(signature), list(transactions), list(votes)]:
                    yield _block(number, header, signature, transactions, votes)
                case _:
                    raise FileInvalid(f"height {number}: the record is no block")


def _block(height: int, header_bytes: bytes, signature: bytes, transactions: list[Any], votes: list[Any]) -> FinalBlock:
    header = header_in(header_bytes, f"height {height}")
    if not all(type(raw) is bytes for raw in transactions):
        raise FileInvalid(f"height {height}: a transaction is no byte string")
    return FinalBlock(header, header.hash(), signature, tuple(transactions), votes_in(votes, f"height {height}"))
