"""Whom files of age are for: a post-quantum hybrid key (ML-KEM-768 and X25519), or whoever knows a passphrase.

As text they are what `age-keygen -pq` makes: Bech32 (BIP 173, without its limit of length), `age1pq1...` and `AGE-SECRET-KEY-PQ-1...`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.vault.age_file import FILE_KEY_BYTES, AgeFileUnopened, Stanza, from_base64, to_base64
from gateway.vault.primitives import (
    Random,
    Unopened,
    WrapPrivateKey,
    WrapPublicKey,
    WrapSuite,
    age_open_key,
    age_passphrase_key,
    age_seal_key,
    age_unwrap,
    age_wrap,
)

_HYBRID, _SCRYPT = "mlkem768x25519", "scrypt"
_PUBLIC, _SECRET = "age1pq", "age-secret-key-pq-"
_ENCAPSULATED, _WRAPPED, _SALT = 1120, 32, 16  # bytes
_WORK, _MOST_WORK = 18, 22  # log2 of scrypt's N: 256 MiB and a second; what a file may ask for at most, 4 GiB
_WORK_TEXT = re.compile(r"[1-9][0-9]?", re.ASCII)
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


@dataclass(frozen=True, slots=True)
class HybridRecipient:
    """See `age_file.Recipient`."""

    key: WrapPublicKey

    def wrap(self, file_key: bytes, random: Random) -> Stanza:  # noqa: ARG002 - the library has its own randomness
        """See the port."""
        wrapped = age_wrap(self.key, file_key)
        return Stanza((_HYBRID, to_base64(wrapped[:_ENCAPSULATED])), wrapped[_ENCAPSULATED:])


@dataclass(frozen=True, slots=True)
class HybridIdentity:
    """See `age_file.Identity`."""

    key: WrapPrivateKey

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """See the port."""
        for stanza in stanzas:
            if stanza.arguments[0] != _HYBRID:
                continue
            encapsulated = from_base64(stanza.arguments[1]) if len(stanza.arguments) == 2 else b""
            if len(encapsulated) != _ENCAPSULATED or len(stanza.body) != _WRAPPED:
                raise AgeFileUnopened("its header is damaged")
            try:
                return age_unwrap(self.key, encapsulated + stanza.body)
            except Unopened:
                continue
        return None


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Recipient and identity in one. `work`: see `_WORK`; less is for tests."""

    text: str = field(repr=False)
    work: int = _WORK

    def wrap(self, file_key: bytes, random: Random) -> Stanza:
        """See the port. Alone in a file: who knows a passphrase could else pass for who has it opened by a key."""
        salt = random(_SALT)
        return Stanza((_SCRYPT, to_base64(salt), str(self.work)), age_seal_key(age_passphrase_key(self.text, salt, self.work), file_key))

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """See the port."""
        if all(stanza.arguments[0] != _SCRYPT for stanza in stanzas):
            return None
        stanza = stanzas[0]
        if len(stanzas) > 1 or len(stanza.arguments) != 3 or not _WORK_TEXT.fullmatch(stanza.arguments[2]):
            raise AgeFileUnopened("its header is damaged")
        salt, work = from_base64(stanza.arguments[1]), int(stanza.arguments[2])
        if len(salt) != _SALT or len(stanza.body) != _WRAPPED or work > _MOST_WORK:
            raise AgeFileUnopened("its header is damaged")
        try:
            return age_open_key(age_passphrase_key(self.text, salt, work), stanza.body)
        except Unopened:
            return None


def new_identity(random: Random) -> HybridIdentity:
    return HybridIdentity(WrapPrivateKey(WrapSuite.MLKEM768_X25519, random(32)))


def recipient_text(identity: HybridIdentity) -> str:
    return _to_bech32(_PUBLIC, identity.key.public.raw)


def identity_text(identity: HybridIdentity) -> str:
    return _to_bech32(_SECRET, identity.key.seed).upper()


def parse_recipient(text: str) -> HybridRecipient:
    """ValueError, with a sentence."""
    if not text.startswith(f"{_PUBLIC}1"):
        raise ValueError("a recipient is `age1pq1...`, as `backup new-key` or `age-keygen -pq` prints it")
    return HybridRecipient(WrapPublicKey(WrapSuite.MLKEM768_X25519, _from_bech32(_PUBLIC, text)))


def parse_identity(text: str) -> HybridIdentity:
    """ValueError, with a sentence that does not repeat the key."""
    if not text.startswith(f"{_SECRET}1".upper()):
        raise ValueError("a key is `AGE-SECRET-KEY-PQ-1...`, as `backup new-key` or `age-keygen -pq` writes it")
    seed = _from_bech32(_SECRET, text.lower())
    if len(seed) != FILE_KEY_BYTES * 2:
        raise ValueError("the key is not whole")
    return HybridIdentity(WrapPrivateKey(WrapSuite.MLKEM768_X25519, seed))


def _to_bech32(prefix: str, raw: bytes) -> str:
    digits = _regrouped(raw, 8, 5)
    checked = _checksum([*_expanded(prefix), *digits, *[0] * 6]) ^ 1
    return f"{prefix}1" + "".join(_BECH32[digit] for digit in [*digits, *((checked >> 5 * (5 - place)) & 31 for place in range(6))])


def _from_bech32(prefix: str, text: str) -> bytes:
    digits = [_BECH32.find(letter) for letter in text[len(prefix) + 1 :]]
    if -1 in digits or len(digits) < 6 or _checksum([*_expanded(prefix), *digits]) != 1:
        raise ValueError("the key is not whole: its checksum does not hold")
    raw = bytes(_regrouped(digits[:-6], 5, 8))
    return raw[: (len(digits) - 6) * 5 // 8]


def _expanded(prefix: str) -> list[int]:
    return [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]


def _checksum(digits: Iterable[int]) -> int:
    value = 1
    for digit in digits:
        top = value >> 25
        value = (value & 0x1FFFFFF) << 5 ^ digit
        for place, part in enumerate(_GENERATOR):
            value ^= part if top >> place & 1 else 0
    return value


def _regrouped(groups: Iterable[int], width: int, into: int) -> list[int]:
    """Groups of `width` bits as groups of `into`; the last is filled up with zeroes."""
    bits = "".join(f"{group:0{width}b}" for group in groups)
    return [int(bits[at : at + into].ljust(into, "0"), 2) for at in range(0, len(bits), into)]
