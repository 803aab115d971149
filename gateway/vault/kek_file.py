"""The file of the key-encryption keys (KEK): one current, and those that it replaced for as long as something may be sealed under them.

{"format": "fhir-anchor kek 2", "wrapped_by": null, "keys": [{"version": 1, "state": "current", "changed_at": 0, "kek": ..., "check": hex}]}

`wrapped_by` null: the keys stand in clear and the file is all that protects them. Else it is the URI of a key of a KMS, and each `kek` is
what that made of it: nothing opens without asking the KMS, once at the start of a process. `check` tells whether a KEK is the one that was
written: a KMS that answers with another, or a damaged file, would else have new secrets sealed under what nobody has. Who changes the file
does so alone (`changing`): of two that replaced its current key at once, one would take the other's from everything sealed under it.
docs/design/keys.md has the format byte by byte.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from gateway.errors import GatewayError
from gateway.logs import logger
from gateway.vault import primitives
from gateway.vault.kms import Kms
from gateway.vault.primitives import Random
from gateway.vault.submission import from_base64url, to_base64url

State = Literal["next", "current", "replaced", "retired"]
_WRAPPED_FOR = primitives.KEK_WRAP + b"\x00"  # authenticated by the KMS, with the version
_CHECK_BYTES = 8


class KeyFileUnusable(GatewayError):
    """The file of the key-encryption keys is missing, malformed, open to others, wrapped by another key than the setting names, or just
    being changed by somebody else.
    """


@dataclass(frozen=True, slots=True)
class KekVersion:
    """One KEK, 32 bytes. Seconds since the epoch for `changed_at`, when it came into its state.

    next: known, and seals nothing yet. current: seals. replaced: a rotation is under way, something may still be sealed under it. retired:
    nothing was found under it.
    """

    version: int
    state: State
    changed_at: int
    kek: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keks:
    """Every KEK by its version, and the one that seals."""

    by_version: Mapping[int, bytes] = field(repr=False)
    current: int


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    state: State
    changed_at: int
    kek: str
    check: str | None = None  # None in a file from before there were checks


class _File(msgspec.Struct, forbid_unknown_fields=True, tag="fhir-anchor kek 2", tag_field="format"):
    keys: list[_Key]
    wrapped_by: str | None = None


class _OldFile(msgspec.Struct, forbid_unknown_fields=True, tag="fhir-anchor kek 1", tag_field="format"):
    kek: str


class KekFile:
    """The file at `path`; `kms` wraps what stands in it, None: nobody does.

    Called, it gives the Keks that there are now: the file is looked at each time and read again when it changed, so that a process which
    serves learns of a new version before anything sealed under it reaches it. A file that becomes unusable meanwhile is logged, and what
    was read before goes on.
    """

    def __init__(self, path: Path, kms: Kms | None = None) -> None:
        self._path, self._kms = path, kms
        self._read: tuple[tuple[int, int, int], Keks] | None = None

    def __call__(self) -> Keks:
        """Raises KeyFileUnusable or KmsFailed the first time only."""
        try:
            seen = self._look()
            if self._read is None or self._read[0] != seen:
                self._read = seen, keks_of(self.read())
        except GatewayError as error:
            if self._read is None:
                raise
            logger().error("the file of the key-encryption keys changed and cannot be used", reason=str(error))
        return self._read[1]

    def read(self) -> tuple[KekVersion, ...]:
        """Every version, ascending. Raises KeyFileUnusable, KmsFailed."""
        mode, file = self._parsed()
        if stat.S_IMODE(mode) & 0o077:
            raise KeyFileUnusable("the key-encryption key's file is open to others; it must have mode 0600")
        if isinstance(file, _OldFile):
            file = _File([_Key(1, "current", 0, file.kek)])
        here = None if self._kms is None else self._kms.uri
        if file.wrapped_by != here:
            held, asked = file.wrapped_by or "nobody", here or "nobody"
            words = f"its keys are wrapped by {held}, FHIR_ANCHOR_KEK_URI says by {asked}; `keys rewrap` moves them"
            raise KeyFileUnusable(f"the key-encryption key's file does not fit the settings: {words}")
        found = tuple(sorted((self._opened(key) for key in file.keys), key=lambda key: key.version))
        if len({key.version for key in found}) < len(found) or [key.state for key in found].count("current") != 1:
            raise KeyFileUnusable("the key-encryption key's file is malformed: its versions contradict each other")
        return found

    def wrapped_by(self) -> str | None:
        """Which KMS key the file says that it is wrapped by. Raises KeyFileUnusable."""
        file = self._parsed()[1]
        return None if isinstance(file, _OldFile) else file.wrapped_by

    @contextmanager
    def changing(self) -> Iterator[None]:
        """While inside, no other process of this machine is. Raises KeyFileUnusable at once where one is."""
        try:
            lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeyFileUnusable(f"the key-encryption key's file cannot be changed: {error.strerror}") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise KeyFileUnusable("another command is changing the key-encryption keys; wait until it has ended") from None
            yield
        finally:
            os.close(lock)

    def write(self, keys: Sequence[KekVersion], *, new: bool = False) -> None:
        """All of it or none, mode 0600, durable when it returns. FileExistsError if `new` and there is one.

        It is read back before it takes its place: a KMS may let us wrap and not unwrap. Raises KmsFailed, KeyFileUnusable.
        """
        here = None if self._kms is None else self._kms.uri
        body = msgspec.json.encode(_File([self._wrapped(key) for key in keys], here))
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            if KekFile(part, self._kms).read() != tuple(keys):
                raise KeyFileUnusable("what was written does not give the keys back; nothing was changed")
            if new:
                self._path.hardlink_to(part)
            else:
                part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise KeyFileUnusable(f"the key-encryption key cannot be read: {error.strerror}") from None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _parsed(self) -> tuple[int, _File | _OldFile]:
        try:
            return self._path.stat().st_mode, msgspec.json.decode(self._path.read_bytes(), type=_File | _OldFile)
        except OSError as error:
            raise KeyFileUnusable(f"the key-encryption key cannot be read: {error.strerror}") from None
        except (ValueError, msgspec.MsgspecError):
            raise KeyFileUnusable("the key-encryption key's file is malformed") from None

    def _opened(self, key: _Key) -> KekVersion:
        try:
            kek = from_base64url(key.kek)
        except ValueError:
            raise KeyFileUnusable("the key-encryption key's file is malformed") from None
        if self._kms is not None:
            kek = self._kms.unwrap(kek, _context(key.version))
        if not 0 < key.version < 1 << 16:
            raise KeyFileUnusable("the key-encryption key's file is malformed: a version is none")
        if len(kek) != primitives.KEY_BYTES:
            raise KeyFileUnusable("the key-encryption key does not have 32 bytes")
        if key.check not in (None, _check_of(kek)):
            raise KeyFileUnusable(
                f"version {key.version} of the key-encryption key is not the one that was written: file or KMS is at fault"
            )
        return KekVersion(key.version, key.state, key.changed_at, kek)

    def _wrapped(self, key: KekVersion) -> _Key:
        kek = key.kek if self._kms is None else self._kms.wrap(key.kek, _context(key.version))
        return _Key(key.version, key.state, key.changed_at, to_base64url(kek), _check_of(key.kek))


def keks_of(keys: Sequence[KekVersion]) -> Keks:
    return Keks({key.version: key.kek for key in keys}, next(key.version for key in keys if key.state == "current"))


def create_kek(path: Path, random: Random, kms: Kms | None = None, now: int = 0) -> None:
    """Writes the first KEK to a new file, durable when it returns; FileExistsError if there is one, KmsFailed."""
    KekFile(path, kms).write([KekVersion(1, "current", now, random(primitives.KEY_BYTES))], new=True)


def with_next(keys: Sequence[KekVersion], kek: bytes, now: int) -> list[KekVersion]:
    """`keys` and a new one that seals nothing yet; the same where there is one already."""
    if any(key.state == "next" for key in keys):
        return list(keys)
    return [*keys, KekVersion(max(key.version for key in keys) + 1, "next", now, kek)]


def promoted(keys: Sequence[KekVersion], now: int) -> list[KekVersion]:
    """The next one seals from now on, and replaces the current one."""
    to: dict[State, State] = {"next": "current", "current": "replaced"}
    return [replace(key, state=to[key.state], changed_at=now) if key.state in to else key for key in keys]


def retired(keys: Sequence[KekVersion], now: int) -> list[KekVersion]:
    """Nothing was found under those that were replaced."""
    return [replace(key, state="retired", changed_at=now) if key.state == "replaced" else key for key in keys]


def _check_of(kek: bytes) -> str:
    return primitives.derive(kek, primitives.KEK_CHECK)[:_CHECK_BYTES].hex()


def _context(version: int) -> bytes:
    return _WRAPPED_FOR + version.to_bytes(2, "big")
