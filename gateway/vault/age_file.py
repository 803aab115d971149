"""Files encrypted as `age` does (C2SP age, version 1): anyone with the key opens them, with this software or without it.

A header in text wraps the file's key for each recipient. Then the payload, in chunks of 64 KiB that know their number and which is the
last (STREAM): what is altered, moved, cut or put behind is found at that chunk, in constant memory, before a byte of it is handed out.
The key is 16 bytes and random for each file, so a chunk's number is a nonce that comes once.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from gateway.errors import GatewayError
from gateway.vault.primitives import Random, Unopened, age_mac, age_open_chunk, age_payload_key, age_seal_chunk

VERSION = b"age-encryption.org/v1\n"
FILE_KEY_BYTES = NONCE_BYTES = 16
CHUNK = 1 << 16
_TAG = 16
_COLUMNS = 64
_MAX_LINE, _MAX_HEADER = 1 << 13, 1 << 18  # bytes: a hundred recipients
_ARGUMENTS = re.compile(rb"-> [!-~]+(?: [!-~]+)*", re.ASCII)


class AgeFileUnopened(GatewayError):
    """The file does not open: another key's, cut, altered, or not of this format. The message says which, as far as can be told."""


@dataclass(frozen=True, slots=True)
class Stanza:
    """The file's key, wrapped for one recipient."""

    arguments: tuple[str, ...]
    body: bytes

    def to_bytes(self) -> bytes:
        text = to_base64(self.body)
        lines = [text[at : at + _COLUMNS] for at in range(0, len(text) + 1, _COLUMNS)]  # the last is shorter, and may be empty
        return "".join(f"{line}\n" for line in (f"-> {' '.join(self.arguments)}", *lines)).encode()


class Recipient(Protocol):
    """Whom a file is for."""

    def wrap(self, file_key: bytes, random: Random) -> Stanza:
        """The key, so that only this recipient has it."""


class Identity(Protocol):
    """Who opens it."""

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """The file's key if one of the stanzas is for this identity. AgeFileUnopened for what no stanza of its kind can be."""


def to_base64(raw: bytes) -> str:
    """Without padding."""
    return b64encode(raw).decode().rstrip("=")


def from_base64(text: str) -> bytes:
    """AgeFileUnopened unless it is what `to_base64` gives."""
    try:
        raw = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (NotBase64, ValueError) as error:
        raise AgeFileUnopened("its header is damaged") from error
    if to_base64(raw) != text:
        raise AgeFileUnopened("its header is damaged")
    return raw


class AgeWriter:
    """Writes a file for `recipients`; `finish` ends it, and without that it does not open."""

    def __init__(self, file: IO[bytes], recipients: Sequence[Recipient], random: Random) -> None:
        file_key, nonce = random(FILE_KEY_BYTES), random(NONCE_BYTES)
        header = VERSION + b"".join(recipient.wrap(file_key, random).to_bytes() for recipient in recipients) + b"---"
        file.write(b"%b %b\n%b" % (header, to_base64(age_mac(file_key, header)).encode(), nonce))
        self._file, self._key = file, age_payload_key(file_key, nonce)
        self._held = bytearray()  # a chunk stays until it is known whether it is the last
        self._number = 0

    def write(self, body: bytes) -> int:
        self._held += body
        while len(self._held) > CHUNK:
            self._seal(bytes(self._held[:CHUNK]), is_last=False)
            del self._held[:CHUNK]
        return len(body)

    def finish(self) -> None:
        self._seal(bytes(self._held), is_last=True)

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        self._file.write(age_seal_chunk(self._key, self._number, chunk, is_last=is_last))
        self._number += 1


class AgeReader:
    """Reads one; every method raises AgeFileUnopened."""

    def __init__(self, file: IO[bytes], identities: Sequence[Identity]) -> None:
        self._file = file
        stanzas, header, mac = _parse_header(file)
        nonce = file.read(NONCE_BYTES)
        if len(nonce) != NONCE_BYTES:
            raise AgeFileUnopened("its end is missing")
        found = (identity.unwrap(stanzas) for identity in identities)
        file_key = next((key for key in found if key is not None), None)
        if file_key is None:
            raise AgeFileUnopened("this key or passphrase does not open it")
        if age_mac(file_key, header) != mac:
            raise AgeFileUnopened("its header was altered")
        self._key = age_payload_key(file_key, nonce)
        self._next, self._number, self._opened = file.read(CHUNK + _TAG), 0, b""
        self._is_done = False

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, b"" at the end; less only there."""
        while (size < 0 or len(self._opened) < size) and not self._is_done:
            self._opened += self._open()
        given, self._opened = (self._opened, b"") if size < 0 else (self._opened[:size], self._opened[size:])
        return given

    def _open(self) -> bytes:
        chunk, self._next = self._next, self._file.read(CHUNK + _TAG)
        self._is_done = not self._next
        try:
            opened = age_open_chunk(self._key, self._number, chunk, is_last=self._is_done)
        except Unopened:
            raise AgeFileUnopened(f"it was altered, or its end is missing, after {self._number * CHUNK:,} bytes") from None
        if not opened and self._number:
            raise AgeFileUnopened("its end was altered")
        self._number += 1
        return opened


def _parse_header(file: IO[bytes]) -> tuple[list[Stanza], bytes, bytes]:
    """The stanzas, what the MAC is over, and the MAC."""
    header = file.readline(_MAX_LINE)
    if header != VERSION:
        raise AgeFileUnopened("it is no file of age, version 1")
    stanzas: list[Stanza] = []
    line = _line(file)
    while not line.startswith(b"---"):
        stanza = _parse_stanza(line, file)
        stanzas.append(stanza)
        header += stanza.to_bytes()
        if len(header) > _MAX_HEADER:
            raise AgeFileUnopened("its header is too long")
        line = _line(file)
    mac = from_base64(line.removeprefix(b"--- ").decode("ascii", "replace")) if line.startswith(b"--- ") else b""
    if len(mac) != 32 or not stanzas:
        raise AgeFileUnopened("its header is damaged")
    return stanzas, header + b"---", mac


def _parse_stanza(line: bytes, file: IO[bytes]) -> Stanza:
    if not _ARGUMENTS.fullmatch(line):
        raise AgeFileUnopened("its header is damaged")
    text = ""
    while True:
        part = _line(file).decode("ascii", "replace")
        text += part
        if len(part) > _COLUMNS or len(text) > _MAX_HEADER:
            raise AgeFileUnopened("its header is damaged")
        if len(part) < _COLUMNS:
            return Stanza(tuple(line[3:].decode().split(" ")), from_base64(text))


def _line(file: IO[bytes]) -> bytes:
    line = file.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise AgeFileUnopened("its header is cut or damaged")
    return line[:-1]
