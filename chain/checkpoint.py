"""Checkpoints of the log (C2SP tlog-checkpoint) and cosignatures of them (tlog-cosignature): docs/design/checkpoint.md.

A checkpoint is a note of three lines: the log's origin, its size and its root in base64. The origin follows from the chain id, so whoever
has the genesis file knows which log a checkpoint must be of.
"""

import re

from msgspec import Struct

from chain.keys import SIGNATURE_SIZE, ChainId, SigningKey
from chain.kinds import MAX_HEIGHT
from chain.merkle import HASH_SIZE
from chain.note import COSIGNATURE, ED25519, TIME_SIZE, NoteInvalid, VerifierKey, cosigned, from_base64, to_base64

_LINES = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([^\n]+)\n")
COSIGNATURE_SIZE = TIME_SIZE + SIGNATURE_SIZE


class Checkpoint(Struct, frozen=True):
    """The head of a log, as notes say it. This log makes no extension lines, and none are read."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"

    @classmethod
    def from_text(cls, text: str) -> "Checkpoint":
        """The text of a note. Raises `NoteInvalid`."""
        found = _LINES.fullmatch(text)
        if found is None or int(found[2]) > MAX_HEIGHT:
            raise NoteInvalid("the note is no checkpoint of this kind of log: origin, size and root, a line each, and nothing else")
        root = from_base64(found[3])
        if len(root) != HASH_SIZE:
            raise NoteInvalid("the checkpoint's root does not have 32 bytes")
        return cls(found[1], int(found[2]), root)


def origin_of(chain_id: ChainId) -> str:
    """The origin of a chain's log."""
    return f"fhir-anchor/{chain_id.hex()}"


def log_verifier(chain_id: ChainId, log_key: bytes) -> VerifierKey:
    """What the log's own signatures are verified with; `log_key` is public."""
    return VerifierKey(origin_of(chain_id), ED25519, log_key)


def cosigner_verifier(chain_id: ChainId, delegate: bytes, cosigning_key: bytes) -> VerifierKey:
    """What a delegate's cosignatures are verified with; both keys are public."""
    return VerifierKey(f"{origin_of(chain_id)}/{delegate.hex()}", COSIGNATURE, cosigning_key)


def cosign(key: SigningKey, checkpoint: Checkpoint, now: int) -> bytes:
    """72 bytes: the time (seconds since the epoch, u64) and the signature of a cosigning key."""
    return now.to_bytes(TIME_SIZE, "big") + key.sign_note(cosigned(checkpoint.to_text().encode(), now))
