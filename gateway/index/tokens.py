"""Blind tokens: what the database can look up without knowing what it says (docs/design/keys.md, tokens).

A token is an HMAC, cut: 16 bytes where it stands for something across archives, 8 where an archive and a record are known beside it. Two
equal values give equal tokens only under one key, so the codes of one patient cannot be matched with another's.
"""

from collections.abc import Iterable, Sequence

from gateway.vault import primitives
from gateway.vault.primitives import Prf

_LABELS = (primitives.INDEX_SOURCE, primitives.INDEX_IDENTIFIER, primitives.INDEX_CONTENT)
TOKEN_BYTES = 16
CONTENT_BYTES = 8
CODE = b"code\x00"
CATEGORY = b"category\x00"


class BlindTokens:
    """The tokens under the gateway's 32-byte index key."""

    def __init__(self, index_key: bytes) -> None:
        self._source, self._identifier, self._content = (Prf(primitives.derive(index_key, label)) for label in _LABELS)

    def sources(self, party: int, ids: Iterable[str]) -> list[bytes]:
        """16 bytes for each id by which the party of that row number names something."""
        prefix = party.to_bytes(8, "big")
        return [digest[:TOKEN_BYTES] for digest in self._source.digests(prefix + id_.encode() for id_ in ids)]

    def identifier(self, resource_type: str, system: str | None, value: str) -> bytes:
        """16 bytes for an identifier of a resource of this type; the same for every institution."""
        return self._identifier.digest(f"{resource_type}\x00{system or ''}\x00{value}".encode())[:TOKEN_BYTES]

    def content(self, row: int, content: bytes) -> bytes:
        """8 bytes that tell whether resource `row` has this content; equal contents of two resources do not show."""
        return self._content.digest(row.to_bytes(8, "big") + content)[:CONTENT_BYTES]


class CodeTokens:
    """The tokens of one archive, under its own key. They leave the system out: `code=1234` and `code=system|1234` are one look-up."""

    def __init__(self, token_key: bytes) -> None:
        self._prf = Prf(token_key)
        self._known: dict[bytes, int] = {}

    def of(self, categories: Iterable[str], codes: Sequence[tuple[str | None, str | None]]) -> tuple[int, ...]:
        """The distinct tokens of a record, ascending: signed 64-bit integers."""
        named = {CODE + code.encode() for _, code in codes if code}
        named.update(CATEGORY + category.encode() for category in categories)
        return tuple(sorted({self._token(name) for name in named}))

    def _token(self, name: bytes) -> int:
        token = self._known.get(name)
        if token is None:
            token = self._known[name] = int.from_bytes(self._prf.digest(name)[:8], "big", signed=True)
        return token
