"""The log's checkpoint as it is served (docs/design/checkpoint.md): the log's signature, and the cosignatures of the same head so far.

What lies in the database is believed in nothing: whatever does not hold over the ledger's own head of that height is left out.
"""

from collections.abc import Iterator

from chain.ballot import Ballot
from chain.block import Header
from chain.checkpoint import Checkpoint, cosigner_verifier, log_verifier, origin_of
from chain.keys import SignatureInvalid
from chain.ledger import Ledger
from chain.note import NoteSignature, VerifierKey, note_of
from gateway.index import ballots
from gateway.index.database import Index


def checkpoint_of(header: Header) -> Checkpoint:
    """The log as a block left it."""
    return Checkpoint(origin_of(header.chain_id), header.log_size, header.log_root)


def cosigner_of(ledger: Ledger, delegate: bytes) -> VerifierKey | None:
    """What the cosignatures of a delegate that stands are verified with, if it has registered a key for them."""
    found = ledger.delegates.cosigner(delegate)
    return None if found is None else cosigner_verifier(ledger.genesis.chain_id, delegate, found.key)


def verifiers(ledger: Ledger) -> tuple[list[VerifierKey], list[tuple[str, VerifierKey]]]:
    """The keys of the log, and of the cosigners with their delegates' names, as the chain has them now."""
    cosigners = [(entry.name, cosigner_of(ledger, key)) for key, entry in ledger.delegates.standing()]
    logs = [log_verifier(ledger.genesis.chain_id, key) for key in ledger.log_keys()]
    return logs, [(name, verifier) for name, verifier in cosigners if verifier is not None]


def served_checkpoint(index: Index, ledger: Ledger) -> bytes | None:
    """The note of the newest head that the log has signed; None where there is none. Raises Unavailable."""
    with index.reading() as connection:
        found = ballots.cosignatures(connection)
    logs = {key: log_verifier(ledger.genesis.chain_id, key) for key in ledger.log_keys()}
    for signed in sorted((one for one in found if one.delegate in logs), key=lambda one: one.height, reverse=True):
        header = ledger.header(signed.height)
        if header is None or header.hash() != signed.block_hash:
            continue
        text = checkpoint_of(header).to_text()
        own = _line(logs[signed.delegate], text, signed)
        if own is not None:
            return note_of(text, [own, *_lines(ledger, text, [one for one in found if one.block_hash == signed.block_hash])])
    return None


def _lines(ledger: Ledger, text: str, signed: list[Ballot]) -> Iterator[NoteSignature]:
    for one in signed:
        verifier = cosigner_of(ledger, one.delegate)
        line = None if verifier is None else _line(verifier, text, one)
        if line is not None:
            yield line


def _line(verifier: VerifierKey, text: str, signed: Ballot) -> NoteSignature | None:
    try:
        verifier.verify(text.encode(), signed.signature)
    except SignatureInvalid:
        return None
    return verifier.line(signed.signature)
