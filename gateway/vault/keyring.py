"""The gateway's secrets at rest, all under one key-encryption key (KEK).

The KEK lies in a file that only the service may read (`gateway.vault.kek_file`). What it seals lies in the database: an archive's private
key and secret, the gateway's signing keys for its parties, its own token and id keys. Each item is sealed for a context that says what it
is and whose, so that one cannot be put in another's place. It names the version of the KEK that sealed it, so that the KEK can be replaced
(`gateway.key_rotation`). docs/design/keys.md has the formats byte by byte.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from gateway.errors import Gone
from gateway.vault import primitives
from gateway.vault.errors import WrongKey
from gateway.vault.kek_file import Keks
from gateway.vault.primitives import Prf, Random, Unopened, WrapPrivateKey, WrapPublicKey, WrapSuite

_ITEM_MARK = b"\xfaki\x02"  # format 2 of an item; format 1 had no mark and began with a random salt
_VERSION_BYTES = 2
_FIRST = 1  # the version of every KEK from before versions were told
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class SealedArchive:
    """An archive's keys as its database row keeps them. Only `key_id`, `suite` and `public` are in clear."""

    key_id: bytes  # 16 bytes, as in the wraps of its bundles
    suite: int
    public: bytes
    sealed_seed: bytes | None  # None once the patient alone holds the key
    sealed_secret: bytes

    @property
    def is_erased(self) -> bool:
        """Whether the archive's keys were destroyed: what was sealed to it opens nowhere any more."""
        return self.sealed_seed is None and not self.sealed_secret

    @property
    def public_key(self) -> WrapPublicKey:
        """What bundles are sealed to: intake needs no private key.

        WrongKey if it is not the key that `key_id` names: the secret is sealed for that id, so another's key in the database's row opens
        nothing and is sealed nothing to.
        """
        key = _wrap_public_key(self.suite, self.public)
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
    """Seals and opens secrets under the KEKs that there are: those that `keks` tells whenever it is asked, or one alone."""

    def __init__(self, keks: bytes | Callable[[], Keks]) -> None:
        self._keks = _only(keks) if isinstance(keks, bytes) else keks
        self._row_tags: dict[bytes, Prf] = {}  # by KEK

    @property
    def version(self) -> int:
        """Of the KEK that seals now."""
        return self._keks().current

    def seal(self, context: str, secret: bytes, random: Random) -> bytes:
        """`secret` for the database, 54 bytes longer. `context` names its kind and owner, such as "attestation-key/hospital-3f9a2b6c"."""
        keks = self._keks()
        head = _ITEM_MARK + _versioned(keks.current)
        return head + primitives.seal_item(keks.by_version[keks.current], head + context.encode(), secret, random)

    def open(self, context: str, sealed: bytes) -> bytes:
        """The secret; WrongKey if it was sealed under another KEK or for another context, or was altered."""
        keks = self._keks()
        for version, head in _readings(sealed):
            kek = keks.by_version.get(version)
            if kek is not None:
                try:
                    return primitives.open_item(kek, head + context.encode(), sealed[len(head) :])
                except Unopened:
                    continue
        raise WrongKey("keyring", "a secret was sealed under another key, for another owner, or was altered")

    def row_tag(self, kind: str, row: bytes) -> bytes:
        """18 bytes that nobody can make for a row of the database who lacks the KEK; `kind` names its table, `row` is its one encoding."""
        return self._row_tag(self._keks().current, kind, row)

    def is_row_tag(self, kind: str, row: bytes, tag: bytes) -> bool:
        """Whether the tag was made for this row, under any KEK that there is. The first format had no version: 16 bytes."""
        version, told = (version_of_tag(tag), tag if len(tag) > _TAG_BYTES else _versioned(_FIRST) + tag)
        return version in self._keks().by_version and hmac.compare_digest(self._row_tag(version, kind, row), told)

    def _row_tag(self, version: int, kind: str, row: bytes) -> bytes:
        kek = self._keks().by_version[version]
        if kek not in self._row_tags:
            self._row_tags[kek] = Prf(primitives.derive(kek, primitives.ROW_TAG))
        return _versioned(version) + self._row_tags[kek].digest(kind.encode() + b"\x00" + row)[:_TAG_BYTES]

    def new_archive(self, random: Random, suite: WrapSuite = WrapSuite.MLKEM768_X25519) -> SealedArchive:
        """Fresh keys and secret for a patient's archive, or for an institution's directory resources."""
        private = WrapPrivateKey(suite, random(primitives.KEY_BYTES))
        public = private.public
        return SealedArchive(
            public.key_id,
            int(suite),
            public.raw,
            self.seal(archive_key_context(public.key_id), private.seed, random),
            self.seal(archive_secret_context(public.key_id), random(primitives.KEY_BYTES), random),
        )

    def private_key(self, archive: SealedArchive) -> WrapPrivateKey:
        """What opens the wraps of the archive's bundles (`opened_bundle.unwrap_bundle_key`); WrongKey if the keyring does not hold it,
        Gone where the archive was erased.
        """
        if archive.is_erased:
            raise Gone("the archive was erased")
        if archive.sealed_seed is None:
            raise WrongKey("keyring", "the patient alone holds this archive's key")
        return WrapPrivateKey(WrapSuite(archive.suite), self.open(archive_key_context(archive.key_id), archive.sealed_seed))

    def archive_secret(self, archive: SealedArchive) -> ArchiveSecret:
        """WrongKey under another KEK; Gone where the archive was erased."""
        if archive.is_erased:
            raise Gone("the archive was erased")
        return ArchiveSecret(self.open(archive_secret_context(archive.key_id), archive.sealed_secret))


@lru_cache(maxsize=4096)
def _wrap_public_key(suite: int, raw: bytes) -> WrapPublicKey:
    """One object for each key that is in use: to take it apart costs as much as to seal to it."""
    return WrapPublicKey(WrapSuite(suite), raw)


def _only(kek: bytes) -> Callable[[], Keks]:
    keks = Keks({_FIRST: kek}, _FIRST)
    return lambda: keks


def version_of(sealed: bytes) -> int:
    """The version of the KEK that an item says it is sealed under."""
    return _readings(sealed)[0][0]


def version_of_tag(tag: bytes) -> int:
    """The version of the KEK that a row's tag says it is made under."""
    return _FIRST if len(tag) <= _TAG_BYTES else int.from_bytes(tag[:_VERSION_BYTES], "big")


def archive_key_context(key_id: bytes) -> str:
    """For what an archive's private key is sealed."""
    return f"archive-key/{key_id.hex()}"


def archive_secret_context(key_id: bytes) -> str:
    """For what an archive's secret is sealed."""
    return f"archive-secret/{key_id.hex()}"


def _readings(sealed: bytes) -> list[tuple[int, bytes]]:
    """(version, head) of what an item can be: by its mark, and of format 1, whose salt is the mark once in four billion."""
    size = len(_ITEM_MARK) + _VERSION_BYTES
    marked = [(int.from_bytes(sealed[len(_ITEM_MARK) : size], "big"), sealed[:size])] if sealed.startswith(_ITEM_MARK) else []
    return [*marked, (_FIRST, b"")]


def _versioned(version: int) -> bytes:
    return version.to_bytes(_VERSION_BYTES, "big")
