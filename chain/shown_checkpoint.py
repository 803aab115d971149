"""A checkpoint that somebody shows as the log's, held against a copy of the chain (docs/design/checkpoint.md, split views).

The log signs what it shows, so one that contradicts the copy and bears its signature proves that it has shown two logs: `split-view`.
What the log has not signed proves nothing, since anyone may have made it: `checkpoint-invalid`.
"""

from chain.checkpoint import Checkpoint, log_verifier, origin_of
from chain.errors import LedgerError
from chain.findings import Code, Finding
from chain.ledger import Ledger
from chain.note import Note, NoteInvalid, verify_note


class CheckpointAhead(LedgerError):
    """The checkpoint is of a longer log than the copy has yet; `finding` is what it is if the chain is no longer than the copy."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.subject}: the copy does not reach so far")
        self.finding = finding


def checkpoint_fault(reader: Ledger, shown: bytes) -> Finding | None:
    """What does not hold of a checkpoint, also of long ago; nothing of one from before the copy's beginning is known but its signature.

    Raises CheckpointAhead.
    """
    try:
        note = Note.from_bytes(shown)
        checkpoint = Checkpoint.from_text(note.text)
    except NoteInvalid as error:
        return Finding(Code.CHECKPOINT_INVALID, "checkpoint", str(error))
    subject = f"checkpoint of size {checkpoint.size}"
    unsigned = _unsigned(reader, note, checkpoint)
    size = reader.log_size()
    if checkpoint.size > size:
        longer = Finding(Code.SPLIT_VIEW, subject, f"the log has signed a checkpoint of more than the {size} transactions that are final")
        raise CheckpointAhead(longer if unsigned is None else Finding(Code.CHECKPOINT_INVALID, subject, unsigned))
    if unsigned is not None:
        return Finding(Code.CHECKPOINT_INVALID, subject, unsigned)
    root = reader.log_root(checkpoint.size)
    if root is None or root == checkpoint.root:
        return None
    return Finding(Code.SPLIT_VIEW, subject, f"the log has signed the root {checkpoint.root.hex()} where the final one is {root.hex()}")


def _unsigned(reader: Ledger, note: Note, checkpoint: Checkpoint) -> str | None:
    """Why the note is not one that the log has signed."""
    chain_id = reader.genesis.chain_id
    if checkpoint.origin != origin_of(chain_id):
        return "it is of another log than this chain's"
    try:
        signed = verify_note(note, [log_verifier(chain_id, key) for key in reader.past_log_keys()])
    except NoteInvalid as error:
        return str(error)
    return None if signed else "it is signed by no key that the chain has for the log"
