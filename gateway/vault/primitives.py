"""Every key derivation, encryption and signature of the gateway, each with its label, in one place.

- directory-key, class-key: from the bundle key (and the class name). Keys, no encryption; one way, so nothing leads upwards.
- segment-key: from the class or directory key and the segment's number, for AES-256-GCM with nonce zero. The bundle key is random for each
  bundle and a number is sealed once in it, so every such key encrypts exactly one plaintext.
- segment-tag: from the same. Eight bytes of a PRF, no encryption.
- bundle-wrap: the bundle key to a recipient by HPKE (RFC 9180), whose fresh encapsulation makes a fresh key, so its own nonce zero is safe;
  `info` binds chain, bundle and recipient.
- keyring-item: from the key-encryption key and a random 32-byte salt, for AES-256-GCM with nonce zero. The salt is new for each item, so
  every such key encrypts exactly one plaintext.
- bundle-id-key, token-key: HMAC keys from an archive's secret; no encryption.
- erasure-mark: an HMAC key from the gateway's own index key, for what an erasure leaves in the bucket; no encryption.
- kek-check: from the key-encryption key, eight bytes by which it is known again; no encryption.
- row-tag: an HMAC key from the key-encryption key, for the tags of rows that are believed as they stand; no encryption.
- grant-seed, grant-salt: from an archive's secret and the id of a Consent: a signing key used for that grant alone, and the salt of the
  commitment to its terms. Who knows the secret finds both again; to all others two grants of one patient have nothing in common.
- access-salt: from an archive's secret and what numbers an access: the salt of that access's leaf.
- index-source, index-identifier, index-content: HMAC keys from the gateway's index key, for blind tokens; no encryption.
- submission-nonce: from a sender's signing key and its body, on the sender's side: the salts of the entries.
- search-cursor: what a page's cursor is sealed for, with the client; kek: what a KMS authenticates with a key-encryption key.
- record-commitment, access-entry, recipient-key-id: hashes.
- age-encryption.org, header, payload: the labels of the age format for backups (gateway.vault.age_file). Its ChaCha20-Poly1305 wraps a
  random key by HPKE, or under a passphrase with a random salt, nonce zero; it seals chunks under that key, their numbers the nonce.

The plain AES of record ids (`IdCipher`) is a permutation of row numbers, not an encryption of content: equal rows must give equal ids.
HKDF is RFC 5869's expand step alone, as its section 3.3 allows where the input is a uniform key, and every input here is.
Other modules of the gateway import from here; they call no cipher, KDF or signature themselves.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import nacl.exceptions
import nacl.signing
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

Random = Callable[[int], bytes]  # n -> n unpredictable bytes, `secrets.token_bytes` where it counts

DIRECTORY_KEY = b"fhir-anchor/directory-key/v1"
CLASS_KEY = b"fhir-anchor/class-key/v1"
SEGMENT_KEY = b"fhir-anchor/segment-key/v1"
SEGMENT_TAG = b"fhir-anchor/segment-tag/v1"
BUNDLE_WRAP = b"fhir-anchor/bundle-wrap/v1"
KEYRING_ITEM = b"fhir-anchor/keyring-item/v1"
BUNDLE_ID_KEY = b"fhir-anchor/bundle-id-key/v1"
TOKEN_KEY = b"fhir-anchor/token-key/v1"
GRANT_SEED = b"fhir-anchor/grant-seed/v1"
GRANT_SALT = b"fhir-anchor/grant-salt/v1"
ACCESS_SALT = b"fhir-anchor/access-salt/v1"
INDEX_SOURCE = b"fhir-anchor/index-source/v1"
INDEX_IDENTIFIER = b"fhir-anchor/index-identifier/v1"
INDEX_CONTENT = b"fhir-anchor/index-content/v1"
SUBMISSION_NONCE = b"fhir-anchor/submission-nonce/v1"
SEARCH_CURSOR = b"fhir-anchor/search-cursor/v1"
KEK_WRAP = b"fhir-anchor/kek/v1"
KEK_CHECK = b"fhir-anchor/kek-check/v1"
ROW_TAG = b"fhir-anchor/row-tag/v1"
ERASURE_MARK = b"fhir-anchor/erasure-mark/v1"
TENURE_MARK = b"fhir-anchor/tenure-mark/v1"
ACCESS_ENTRY = b"fhir-anchor/access-entry/v1"
RECIPIENT_KEY_ID = b"fhir-anchor/recipient-key-id/v1"
RECORD_COMMITMENT = b"fhir-anchor/record-commitment/v1"

_AGE_HYBRID, _AGE_SCRYPT = b"age-encryption.org/mlkem768x25519", b"age-encryption.org/v1/scrypt"

KEY_BYTES = 32
SALT_BYTES = 32
GCM_TAG_BYTES = 16
_ZERO_NONCE = bytes(12)
_SHA256_BLOCK = 64


class Unopened(Exception):
    """A ciphertext that this key, with this context, did not make."""


# --- derivation


def hkdf_expand(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869, 2.3) for exactly one block: 32 bytes."""
    return hmac.digest(key, info + b"\x01", "sha256")


def derive(key: bytes, label: bytes, context: bytes = b"") -> bytes:
    """The 32-byte subkey of `key` for `label` and `context`; no label holds a zero byte, so the two cannot run together."""
    return hkdf_expand(key, label + b"\x00" + context)


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def class_key(bundle_key: bytes, class_name: str) -> bytes:
    return derive(bundle_key, CLASS_KEY, class_name.encode())


def directory_key(bundle_key: bytes) -> bytes:
    return derive(bundle_key, DIRECTORY_KEY)


def segment_tag(key: bytes, number: int) -> bytes:
    """8 bytes by which the holder of a class key (or directory key) finds its segments; to all others they are noise."""
    return derive(key, SEGMENT_TAG, u32(number))[:8]


# --- hashing


_INNER_PAD, _OUTER_PAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))  # RFC 2104, as tables


class Prf:
    """HMAC-SHA-256 under one key for many short messages.

    The padded keys are made once and hashed with each message: to hash a block more takes less time than to copy a state.
    """

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _SHA256_BLOCK else key).ljust(_SHA256_BLOCK, b"\x00")
        self._inner, self._outer = block.translate(_INNER_PAD), block.translate(_OUTER_PAD)

    def digests(self, messages: Iterable[bytes]) -> list[bytes]:
        """The 32-byte HMAC of each message."""
        sha256, inner, outer = hashlib.sha256, self._inner, self._outer
        return [sha256(outer + sha256(inner + message).digest()).digest() for message in messages]

    def digest(self, message: bytes) -> bytes:
        return self.digests((message,))[0]


def record_salts(seed: bytes, first_leaf: int, count: int) -> list[bytes]:
    """The 32-byte salts of `count` records of one class from leaf `first_leaf` on."""
    return Prf(seed).digests(map(u32, range(first_leaf, first_leaf + count)))


_COMMITMENT_PREFIX = RECORD_COMMITMENT + b"\x00"


def commitment(salt: bytes, record: bytes) -> bytes:
    """What a leaf commits to: SHA-256(label, 0, 32-byte salt, record bytes)."""
    return hashlib.sha256(b"".join((_COMMITMENT_PREFIX, salt, record))).digest()


def commitments(salts: Sequence[bytes], records: Sequence[bytes]) -> list[bytes]:
    """`commitment` for many."""
    sha256, prefix, join = hashlib.sha256, _COMMITMENT_PREFIX, b"".join
    return [sha256(join((prefix, salt, record))).digest() for salt, record in zip(salts, records, strict=True)]


def access_commitment(chain_id: bytes, salt: bytes, entry: bytes) -> bytes:
    """What the leaf of an access commits to: SHA-256(label, 0, 32-byte chain id, 32-byte salt, entry)."""
    return hashlib.sha256(b"".join((ACCESS_ENTRY, b"\x00", chain_id, salt, entry))).digest()


# --- sealing


def seal_segment(key: bytes, number: int, header_digest: bytes, plaintext: bytes) -> bytes:
    """AES-256-GCM under the segment's own key; 16 bytes longer than `plaintext`."""
    aead = AESGCM(derive(key, SEGMENT_KEY, u32(number)))
    return aead.encrypt(_ZERO_NONCE, plaintext, header_digest + u32(number))


def open_segment(key: bytes, number: int, header_digest: bytes, ciphertext: bytes) -> bytes:
    """The plaintext, or `Unopened`."""
    aead = AESGCM(derive(key, SEGMENT_KEY, u32(number)))
    try:
        return aead.decrypt(_ZERO_NONCE, ciphertext, header_digest + u32(number))
    except InvalidTag:
        raise Unopened from None


def seal_item(kek: bytes, context: bytes, plaintext: bytes, random: Random) -> bytes:
    """A secret under the key-encryption key: salt (32) || AES-256-GCM. `context` says what it is and is needed to open it."""
    salt = random(KEY_BYTES)
    return salt + AESGCM(derive(kek, KEYRING_ITEM, salt)).encrypt(_ZERO_NONCE, plaintext, context)


def open_item(kek: bytes, context: bytes, item: bytes) -> bytes:
    """The secret, or `Unopened`."""
    salt, ciphertext = item[:KEY_BYTES], item[KEY_BYTES:]
    try:
        return AESGCM(derive(kek, KEYRING_ITEM, salt)).decrypt(_ZERO_NONCE, ciphertext, context)
    except InvalidTag:
        raise Unopened from None


# --- wrapping


class WrapSuite(IntEnum):
    """HPKE with HKDF-SHA256 and AES-256-GCM; stored in headers, numbered for ever."""

    MLKEM768_X25519 = 1  # X-Wing: safe while either of the two is
    X25519 = 2


_HPKE = {
    WrapSuite.MLKEM768_X25519: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    WrapSuite.X25519: hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
}
_AGE_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_MLKEM768_PUBLIC = 1184
_PUBLIC_BYTES = {WrapSuite.MLKEM768_X25519: _MLKEM768_PUBLIC + 32, WrapSuite.X25519: 32}
_HpkePublic = hpke.MLKEM768X25519PublicKey | x25519.X25519PublicKey
_HpkePrivate = hpke.MLKEM768X25519PrivateKey | x25519.X25519PrivateKey


@dataclass(frozen=True)
class WrapPublicKey:
    """A recipient's public key: 1,216 bytes (ML-KEM-768 encapsulation key, X25519 key) or 32. ValueError on any other length."""

    suite: WrapSuite
    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _PUBLIC_BYTES[self.suite]:
            raise ValueError(f"a {self.suite.name} public key has {_PUBLIC_BYTES[self.suite]} bytes, this has {len(self.raw)}")

    @cached_property
    def key_id(self) -> bytes:
        """16 bytes that name the key in headers."""
        return hashlib.sha256(RECIPIENT_KEY_ID + b"\x00" + bytes([self.suite]) + self.raw).digest()[:16]

    @cached_property
    def _hpke(self) -> _HpkePublic:
        if self.suite is WrapSuite.X25519:
            return x25519.X25519PublicKey.from_public_bytes(self.raw)
        return hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM768_PUBLIC]),
            x25519.X25519PublicKey.from_public_bytes(self.raw[_MLKEM768_PUBLIC:]),
        )

    def wrap(self, secret: bytes, info: bytes) -> bytes:
        """HPKE base mode: encapsulation || ciphertext. The encapsulation's randomness is the library's own."""
        return _HPKE[self.suite].encrypt(secret, self._hpke, info=info)


@dataclass(frozen=True)
class WrapPrivateKey:
    """A recipient's private key as its 32-byte seed: X-Wing's decapsulation key (draft-connolly-cfrg-xwing-kem, 5.2), or X25519's own."""

    suite: WrapSuite
    seed: bytes = field(repr=False)

    @cached_property
    def _halves(self) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
        """The two keys that X-Wing expands the seed to."""
        expanded = hashlib.shake_256(self.seed).digest(96)
        return mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), x25519.X25519PrivateKey.from_private_bytes(expanded[64:])

    @cached_property
    def _hpke(self) -> _HpkePrivate:
        if self.suite is WrapSuite.X25519:
            return x25519.X25519PrivateKey.from_private_bytes(self.seed)
        return hpke.MLKEM768X25519PrivateKey(*self._halves)

    @cached_property
    def public(self) -> WrapPublicKey:
        if self.suite is WrapSuite.X25519:
            return WrapPublicKey(self.suite, x25519.X25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())
        return WrapPublicKey(self.suite, b"".join(half.public_key().public_bytes_raw() for half in self._halves))

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """The secret, or `Unopened`."""
        try:
            return _HPKE[self.suite].decrypt(wrapped, self._hpke, info=info)
        except (InvalidTag, ValueError):
            raise Unopened from None


# --- files of age (C2SP age, version 1)


def _age_derive(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 with both steps: the file's key has 16 bytes."""
    return hkdf_expand(hmac.digest(salt or bytes(32), file_key, "sha256"), info)


def age_mac(file_key: bytes, header: bytes) -> bytes:
    """32 bytes over the header up to and with its `---`."""
    return hmac.digest(_age_derive(file_key, b"", b"header"), header, "sha256")


def age_payload_key(file_key: bytes, nonce: bytes) -> bytes:
    return _age_derive(file_key, nonce, b"payload")


def age_seal_chunk(key: bytes, number: int, chunk: bytes, *, is_last: bool) -> bytes:
    """16 bytes longer than `chunk`."""
    return ChaCha20Poly1305(key).encrypt(number.to_bytes(11, "big") + bytes([is_last]), chunk, None)


def age_open_chunk(key: bytes, number: int, sealed: bytes, *, is_last: bool) -> bytes:
    """The chunk, or `Unopened`."""
    try:
        return ChaCha20Poly1305(key).decrypt(number.to_bytes(11, "big") + bytes([is_last]), sealed, None)
    except InvalidTag:
        raise Unopened from None


def age_wrap(public: WrapPublicKey, file_key: bytes) -> bytes:
    """Encapsulation (1,120 bytes) || ciphertext."""
    return _AGE_SUITE.encrypt(file_key, public._hpke, info=_AGE_HYBRID)  # noqa: SLF001 - the same module


def age_unwrap(private: WrapPrivateKey, wrapped: bytes) -> bytes:
    """The file's key, or `Unopened`."""
    try:
        return _AGE_SUITE.decrypt(wrapped, private._hpke, info=_AGE_HYBRID)  # noqa: SLF001 - the same module
    except (InvalidTag, ValueError):
        raise Unopened from None


def age_passphrase_key(passphrase: str, salt: bytes, work: int) -> bytes:
    """By scrypt (RFC 7914) with N = 2^`work`: takes 2^`work` KiB."""
    memory = (1 << work) * 1024 + (1 << 20)
    return hashlib.scrypt(passphrase.encode(), salt=_AGE_SCRYPT + salt, n=1 << work, r=8, p=1, maxmem=memory, dklen=32)


def age_seal_key(key: bytes, file_key: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)


def age_open_key(key: bytes, sealed: bytes) -> bytes:
    """The file's key, or `Unopened`."""
    return age_open_chunk(key, 0, sealed, is_last=False)


# --- signatures (submissions only; the ledger's are in chain.keys)


def ed25519_public(seed: bytes) -> bytes:
    """The 32-byte public key of a 32-byte seed (RFC 8032)."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """64 bytes. JWS fixes what is signed (RFC 7515, 5.1), so the label here is the payload's own shape."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def ed25519_is_valid(public: bytes, message: bytes, signature: bytes) -> bool:
    """Strictly, as libsodium does: small-order keys and malleable signatures are not valid."""
    try:
        nacl.signing.VerifyKey(public).verify(message, signature)
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.ValueError, nacl.exceptions.TypeError):
        return False
    return True


# --- ids


class IdCipher:
    """AES-128 on single 16-byte blocks: a keyed permutation, so distinct rows give distinct ids and no id tells its row."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(algorithms.AES128(key), modes.ECB())  # noqa: S305 - one block a message, all messages distinct

    def encrypt(self, blocks: bytes) -> bytes:
        return self._cipher.encryptor().update(blocks)

    def decrypt(self, blocks: bytes) -> bytes:
        return self._cipher.decryptor().update(blocks)
