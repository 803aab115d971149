"""The gateway's secrets at rest, all under one key-encryption key (KEK).

The KEK is a file that only the service may read. What it seals lies in the database: an archive's private key and secret, the gateway's
signing keys for its parties, its own token and id keys. Each item is sealed for a context that says what it is and whose, so that one
cannot be put in another's place.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from gateway.errors import GatewayError
from gateway.vault import primitives
from gateway.vault.errors import WrongKey
from gateway.vault.primitives import Prf, Random, Unopened, WrapPrivateKey, WrapPublicKey, WrapSuite
from gateway.vault.submission import from_base64url, to_base64url


class KeyFileUnusable(GatewayError):
    """The key-encryption key's file is missing, malformed or open to others."""


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["fhir-anchor kek 1"]
    kek: str


def create_kek(path: Path, random: Random) -> None:
    """Writes a new KEK, mode 0600, durable when it returns; FileExistsError if there is one."""
    body = msgspec.json.encode(_KeyFile("fhir-anchor kek 1", to_base64url(random(primitives.KEY_BYTES))))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_kek(path: Path) -> bytes:
    """The 32-byte KEK; KeyFileUnusable."""
    try:
        mode = path.stat().st_mode
        file = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        kek = from_base64url(file.kek)
    except OSError as error:
        raise KeyFileUnusable(f"the key-encryption key cannot be read: {error.strerror}") from None
    except (ValueError, msgspec.MsgspecError):
        raise KeyFileUnusable("the key-encryption key's file is malformed") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFileUnusable("the key-encryption key's file is open to others; it must have mode 0600")
    if len(kek) != primitives.KEY_BYTES:
        raise KeyFileUnusable("the key-encryption key does not have 32 bytes")
    return kek


@dataclass(frozen=True, slots=True)
class SealedArchive:
    """An archive's keys as its database row keeps them. Only `key_id`, `suite` and `public` are in clear."""

    key_id: bytes  # 16 bytes, as in the wraps of its bundles
    suite: int
    public: bytes
    sealed_seed: bytes | None  # None once the patient alone holds the key
    sealed_secret: bytes

    @property
    def public_key(self) -> WrapPublicKey:
        """What bundles are sealed to: intake needs no private key.

        WrongKey if it is not the key that `key_id` names: the secret is sealed for that id, so another's key in the database's row opens
        nothing and is sealed nothing to.
        """
        key = WrapPublicKey(WrapSuite(self.suite), self.public)
        if key.key_id != self.key_id:
            raise WrongKey("keyring", "an archive's public key is not the one that its id names")
        return key


class ArchiveSecret:
    """The 32-byte secret that gateway and patient share; what derives from it links nothing for others."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._bundle_ids = Prf(primitives.derive(secret, primitives.BUNDLE_ID_KEY))
        self.token_key = primitives.derive(secret, primitives.TOKEN_KEY)  # for the blind tokens of codes

    def bundle_id(self, number: int) -> bytes:
        """The 16-byte id of the archive's bundle `number`: who knows the secret sees when one is withheld."""
        return self._bundle_ids.digest(number.to_bytes(8, "big"))[:16]

    def grant_seed(self, consent_id: bytes) -> bytes:
        """32 bytes: the seed of the one-time key that grants and revokes the Consent with this 16-byte id, and signs nothing else."""
        return primitives.derive(self._secret, primitives.GRANT_SEED, consent_id)

    def grant_salt(self, consent_id: bytes) -> bytes:
        """32 bytes: the salt of the ledger's commitment to that Consent's terms."""
        return primitives.derive(self._secret, primitives.GRANT_SALT, consent_id)

    def access_salt(self, grant_id: bytes, sequence: int, accessed_ms: int) -> bytes:
        """32 bytes: the salt of the leaf of one access by that grant. The time is in it, so that a number which a database restored from an
        older copy gives out again comes with another salt.
        """
        context = grant_id + sequence.to_bytes(8, "big") + accessed_ms.to_bytes(8, "big")
        return primitives.derive(self._secret, primitives.ACCESS_SALT, context)


class Keyring:
    """Seals and opens secrets under the KEK."""

    def __init__(self, kek: bytes) -> None:
        self._kek = kek
        self._row_tags = Prf(primitives.derive(kek, primitives.ROW_TAG))

    def seal(self, context: str, secret: bytes, random: Random) -> bytes:
        """`secret` for the database, 48 bytes longer. `context` names its kind and owner, such as "attestation-key/hospital-3f9a2b6c"."""
        return primitives.seal_item(self._kek, context.encode(), secret, random)

    def open(self, context: str, sealed: bytes) -> bytes:
        """The secret; WrongKey if it was sealed under another KEK or for another context, or was altered."""
        try:
            return primitives.open_item(self._kek, context.encode(), sealed)
        except Unopened:
            raise WrongKey("keyring", "a secret was sealed under another key, for another owner, or was altered") from None

    def row_tag(self, kind: str, row: bytes) -> bytes:
        """16 bytes that nobody can make for a row of the database who lacks the KEK; `kind` names its table, `row` is its one encoding."""
        return self._row_tags.digest(kind.encode() + b"\x00" + row)[:16]

    def new_archive(self, random: Random, suite: WrapSuite = WrapSuite.MLKEM768_X25519) -> SealedArchive:
        """Fresh keys and secret for a patient's archive, or for an institution's directory resources."""
        private = WrapPrivateKey(suite, random(primitives.KEY_BYTES))
        public = private.public
        return SealedArchive(
            public.key_id,
            int(suite),
            public.raw,
            self.seal(_context("archive-key", public.key_id), private.seed, random),
            self.seal(_context("archive-secret", public.key_id), random(primitives.KEY_BYTES), random),
        )

    def private_key(self, archive: SealedArchive) -> WrapPrivateKey:
        """What opens the wraps of the archive's bundles (`opened_bundle.unwrap_bundle_key`); WrongKey if the keyring does not hold it."""
        if archive.sealed_seed is None:
            raise WrongKey("keyring", "the patient alone holds this archive's key")
        return WrapPrivateKey(WrapSuite(archive.suite), self.open(_context("archive-key", archive.key_id), archive.sealed_seed))

    def archive_secret(self, archive: SealedArchive) -> ArchiveSecret:
        return ArchiveSecret(self.open(_context("archive-secret", archive.key_id), archive.sealed_secret))


def _context(kind: str, key_id: bytes) -> str:
    return f"{kind}/{key_id.hex()}"
