"""Gateway ids: FHIR ids of 32 lower-case hex digits that are encrypted row numbers.

An id needs no index of its own, tells neither order nor count, and one that was made up is known as such without a look-up: the second
half of the decrypted block must be zero, which a guess hits once in 2^64.
"""

import re
import struct
from collections.abc import Iterable, Sequence

from gateway.vault.primitives import IdCipher

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_BLOCK = 16
_ZEROS = bytes(8)


class RecordIds:
    """The ids under one 16-byte key. Rows are integers in 0..2^64-1."""

    def __init__(self, key: bytes) -> None:
        self._cipher = IdCipher(key)

    def encode(self, rows: Iterable[int]) -> list[str]:
        """The id of each row, in order."""
        text = self._cipher.encrypt(b"".join(row.to_bytes(8, "big") + _ZEROS for row in rows)).hex()
        return [text[at : at + 2 * _BLOCK] for at in range(0, len(text), 2 * _BLOCK)]

    def rows(self, ids: Sequence[bytes]) -> list[int | None]:
        """The row of each of these 16-byte ids, None for one that no row has."""
        halves = struct.unpack(f">{2 * len(ids)}Q", self._cipher.decrypt(b"".join(ids)))
        return [None if zeros else row for row, zeros in zip(halves[::2], halves[1::2], strict=True)]

    def decode(self, text: str) -> int | None:
        """The row, or None if no row has this id."""
        if not _ID.fullmatch(text):
            return None
        block = self._cipher.decrypt(bytes.fromhex(text))
        return int.from_bytes(block[:8], "big") if block[8:] == _ZEROS else None
