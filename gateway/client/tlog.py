"""Making a tlog-proof of a receipt's transaction from what a gateway serves: its checkpoint, and tiles for the path to its root."""

from chain.checkpoint import Checkpoint
from chain.log import TILE_BITS, TILE_WIDTH, TileReader, inclusion_path
from chain.merkle import HASH_SIZE, ProofError
from chain.note import Note, NoteInvalid
from gateway import access_receipt_format, receipt_format
from gateway.client.ledger import LedgerUnreachable, fetched
from gateway.client.receipt import POLL_SECONDS, Patience
from gateway.finality_format import LoggedTransaction
from gateway.receipt_json import NoReceipt
from gateway.recorded import ReceiptInvalid
from gateway.tlog_policy import Policy
from gateway.tlog_proof import TlogProof, verify_tlog_proof


class RemoteLog:
    """The log of the gateway at `url`, by C2SP tlog-tiles."""

    def __init__(self, url: str) -> None:
        self._prefix = url.rstrip("/") + "/ledger"

    def checkpoint(self) -> bytes:
        """Raises LedgerUnreachable."""
        return fetched(f"{self._prefix}/checkpoint")

    def tiles(self, size: int) -> TileReader:
        """The tiles of the log as it was at `size`, each fetched once; what is read raises LedgerUnreachable."""
        held: dict[tuple[int, int], bytes] = {}

        def read(level: int, number: int) -> bytes:
            if (level, number) not in held:
                width = min(TILE_WIDTH, (size >> TILE_BITS * level) - number * TILE_WIDTH)
                held[level, number] = fetched(f"{self._prefix}/{tile_path(level, number, width)}")[: width * HASH_SIZE]
            return held[level, number]

        return read


def tile_path(level: int, number: int, width: int) -> str:
    """How a tile is named below the prefix."""
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{place}" + (f".p/{width}" if width < TILE_WIDTH else "")


def logged_transaction(receipt: bytes) -> LoggedTransaction:
    """What a receipt of either kind says is in the log. Raises NoReceipt."""
    try:
        return access_receipt_format.from_json(receipt).batch
    except NoReceipt:
        return receipt_format.from_json(receipt).anchor


def export(log: RemoteLog, receipt: bytes, genesis: bytes, policy: Policy | None, patience: Patience) -> bytes:
    """The proof, verified; asked for again until the checkpoint has come as far and is cosigned as `policy` wants, or the patience is over.

    Raises NoReceipt, ReceiptInvalid, CouldNotCheck, LedgerUnreachable.
    """
    logged = logged_transaction(receipt)
    deadline = patience.clock() + patience.wait_seconds
    while True:
        try:
            proof = _made(log, logged)
            verify_tlog_proof(proof, genesis, policy)
        except (ReceiptInvalid, LedgerUnreachable):
            if patience.clock() + POLL_SECONDS > deadline:
                raise
            patience.sleep(POLL_SECONDS)
        else:
            return proof


def _made(log: RemoteLog, logged: LoggedTransaction) -> bytes:
    note = log.checkpoint()
    try:
        size = Checkpoint.from_text(Note.from_bytes(note).text).size
        path = inclusion_path(log.tiles(size), logged.index, size)
    except (NoteInvalid, ProofError) as error:
        raise ReceiptInvalid(f"the gateway's checkpoint does not lead to the receipt's transaction: {error}") from error
    return TlogProof(logged.transaction, logged.index, tuple(path), note).to_bytes()
