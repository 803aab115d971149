"""Signed notes (C2SP signed-note): a text, a blank line, and a line for each signature. What the transparency tools of others read.

The text is UTF-8 without control characters other than its newlines, and ends in one. A signature line is an em dash, the key's name and
base64 of key id (4 bytes) and signature. Who checks a note knows keys by name, id and bytes: a verifier key, `name+id+base64`.
"""

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from chain.errors import LedgerError
from chain.keys import PUBLIC_KEY_SIZE, SignatureInvalid, is_valid_public_key, verify_note_signature

ED25519, COSIGNATURE = 0x01, 0x04  # types of signatures: over the text, and over the text with a time (tlog-cosignature)
TIME_SIZE = 8
MAX_TIME = (1 << 63) - 1
MAX_NOTE_BYTES = 1 << 16
MAX_SIGNATURES = 256
_ID_SIZE = 4
_NAME = re.compile(r"[^\s+]+")
_VERIFIER_KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")


class NoteInvalid(LedgerError):
    """The bytes are no note, or a signature of a known key does not hold."""


class NoteSignature(Struct, frozen=True):
    """One line below a note."""

    name: str
    key_id: bytes  # 4 bytes
    signature: bytes  # of the form that the key's type has

    def to_line(self) -> str:
        return f"— {self.name} {to_base64(self.key_id + self.signature)}\n"

    @classmethod
    def from_line(cls, line: str) -> "NoteSignature":
        """`line` without its newline. Raises `NoteInvalid`."""
        dash, _, rest = line.partition(" ")
        name, _, text = rest.partition(" ")
        signed = from_base64(text)
        if dash != "—" or not _NAME.fullmatch(name) or len(signed) <= _ID_SIZE:
            raise NoteInvalid("a signature line of the note is none")
        return cls(name, signed[:_ID_SIZE], signed[_ID_SIZE:])


class Note(Struct, frozen=True):
    """A note as it was read; no signature has been verified."""

    text: str  # with its last newline
    signatures: tuple[NoteSignature, ...]

    def to_bytes(self) -> bytes:
        return (self.text + "\n" + "".join(signature.to_line() for signature in self.signatures)).encode()

    @classmethod
    def from_bytes(cls, note: bytes) -> "Note":
        """Reads strictly. Raises `NoteInvalid`."""
        try:
            told = note.decode() if len(note) <= MAX_NOTE_BYTES else ""
        except UnicodeDecodeError:
            told = ""
        text, blank, signatures = told.rpartition("\n\n")
        lines = signatures.split("\n")
        if not text or not blank or lines[-1] != "" or _CONTROL.search(told) or not 1 < len(lines) <= MAX_SIGNATURES + 1:
            raise NoteInvalid("the bytes are no signed note: a text, a blank line and signature lines, all of them ending in a newline")
        return cls(text + "\n", tuple(map(NoteSignature.from_line, lines[:-1])))


class VerifierKey(Struct, frozen=True):
    """A public key of Ed25519 under the name that its signatures carry."""

    name: str
    type: int  # ED25519 or COSIGNATURE
    public: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes: SHA-256(name || newline || type || public key), cut."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:_ID_SIZE]

    def to_text(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.type]) + self.public)}"

    @classmethod
    def from_text(cls, text: str) -> "VerifierKey":
        """Raises `NoteInvalid`, also for types of signatures that are not verified here."""
        found = _VERIFIER_KEY.fullmatch(text)
        held = from_base64(found[3]) if found else b""
        if found is None or len(held) != 1 + PUBLIC_KEY_SIZE or held[0] not in (ED25519, COSIGNATURE):
            raise NoteInvalid("a verifier key is not of the form name+id+base64, or not of a type that is verified here")
        key = cls(found[1], held[0], held[1:])
        if key.key_id.hex() != found[2] or not is_valid_public_key(key.public):
            raise NoteInvalid("a verifier key has another id than its name and key give, or no usable key")
        return key

    def line(self, signature: bytes) -> NoteSignature:
        """The signature as it stands below a note."""
        return NoteSignature(self.name, self.key_id, signature)

    def is_of(self, signature: NoteSignature) -> bool:
        """Whether a line says that it is of this key."""
        return (signature.name, signature.key_id) == (self.name, self.key_id)

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """When `text` was cosigned (seconds since the epoch); None for a plain signature. Raises `chain.keys.SignatureInvalid`."""
        if self.type == ED25519:
            verify_note_signature(self.public, text, signature)
            return None
        signed_at = int.from_bytes(signature[:TIME_SIZE], "big")
        if signed_at > MAX_TIME:
            raise SignatureInvalid("the cosignature has an impossible time")
        verify_note_signature(self.public, cosigned(text, signed_at), signature[TIME_SIZE:])
        return signed_at


def cosigned(text: bytes, signed_at: int) -> bytes:
    """What a cosigner signs at an instant (tlog-cosignature, Ed25519 signed message)."""
    return b"cosignature/v1\ntime %d\n" % signed_at + text


def verify_note(note: Note, known: Iterable[VerifierKey]) -> list[tuple[VerifierKey, int | None]]:
    """The known keys whose signatures the note has, each once, with the times of cosignatures. Signatures of others are passed over.

    Raises `NoteInvalid` if one of a known key does not hold.
    """
    keys = {(key.name, key.key_id): key for key in known}
    found: dict[VerifierKey, int | None] = {}
    for signature in note.signatures:
        key = keys.get((signature.name, signature.key_id))
        if key is None:
            continue
        try:
            found[key] = key.verify(note.text.encode(), signature.signature)
        except SignatureInvalid:
            raise NoteInvalid(f"the signature of {key.name} does not hold over the note") from None
    return list(found.items())


def note_of(text: str, signatures: Sequence[NoteSignature]) -> bytes:
    """The note's bytes."""
    return Note(text, tuple(signatures)).to_bytes()


def to_base64(raw: bytes) -> str:
    """Standard base64 (RFC 4648, 4), as notes have it."""
    return base64.b64encode(raw).decode()


def from_base64(text: str) -> bytes:
    """Strictly, one spelling a value. Raises `NoteInvalid`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise NoteInvalid("a part of the note is not base64") from None
    if to_base64(raw) != text:
        raise NoteInvalid("a part of the note is not base64 in its one spelling")
    return raw
