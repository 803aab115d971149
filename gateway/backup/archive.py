"""The file of a backup: a tar of its parts, each with its hash in the manifest, which comes last; all of it encrypted if that is wished.

Read as if a stranger had written it.
"""

import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from gateway.backup.manifest import NAME, BackupDamaged, BackupRefused, Manifest, Part, is_part, parse_manifest
from gateway.backup.snapshot import Progress
from gateway.vault.age_file import VERSION, AgeFileUnopened, AgeReader, AgeWriter, Identity

NOT_KEYS = (".watermark", ".lock", ".new")  # what lies beside keys and must never come from a copy
_CHUNK = 1 << 20
_MAX_MANIFEST = 1 << 20
_MAX_HEADER = 1 << 16  # bytes of the headers that are files of their own (pax)


class _ShortHeader(tarfile.TarInfo):
    """A member's header, or one that says more of the next member: tarfile reads that whole, whatever its size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_ShortHeader":
        found = super().frombuf(buf, encoding, errors)
        if found.type not in tarfile.SUPPORTED_TYPES or (found.type not in tarfile.REGULAR_TYPES and found.size > _MAX_HEADER):
            raise BackupDamaged("it holds what a backup does not have")
        return found


class ArchiveWriter:
    """Adds parts one after another; `finish` with their manifest."""

    def __init__(self, file: "IO[bytes] | AgeWriter", now: int) -> None:
        target: Any = file  # `write` alone is needed
        self._tar, self._now = tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT), now  # noqa: SIM115 - `finish` closes it
        self.parts: list[Part] = []

    def add(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            reading = _Hashing(file)
            self._write(name, path.stat().st_size, reading)
        self.parts.append(Part(name, reading.size, reading.hash.hexdigest()))

    def put(self, name: str, body: bytes) -> None:
        self._write(name, len(body), BytesIO(body))
        self.parts.append(Part(name, len(body), sha256(body).hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        body = manifest.to_bytes()
        self._write(NAME, len(body), BytesIO(body))
        self._tar.close()

    def _write(self, name: str, size: int, body: Any) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, self._now
        self._tar.addfile(member, body)


class _Hashing:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.hash, self.size = file, sha256(), 0

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(size)
        self.hash.update(found)
        self.size += len(found)
        return found


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file of mode 0600 that has this name only when the block has ended well, and then for good."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename it replaces nothing
    except FileExistsError as error:
        raise BackupRefused(f"{path} is there already; a backup is never written over") from error
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_encrypted(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(VERSION)) == VERSION


def take_out(file: Path, folder: Path, identities: Sequence[Identity], progress: Progress) -> Manifest:
    """Write every part below `folder`, mode 0600, and check it against the manifest; `identities` open it if it is encrypted.

    Raises BackupDamaged, AgeFileUnopened, OSError; then nothing in `folder` is to be used.
    """
    (folder / "keys").mkdir(mode=0o700)
    try:
        with file.open("rb") as raw:
            opened = _opened(raw, identities)
            found, manifest = _take_out(opened, folder, lambda reached: progress("taking out", reached, file.stat().st_size))
            while opened.read(_CHUNK):  # what is encrypted is whole only if its last chunk is there
                pass
    except (tarfile.TarError, ValueError, OverflowError) as error:  # of headers that hold impossible numbers
        raise BackupDamaged(f"it is no whole archive: {error}") from error
    for part in manifest.parts:
        if found.pop(part.name, None) != part:
            raise BackupDamaged(f"{part.name} is missing or is not what the manifest says")
    if found:
        raise BackupDamaged("it holds parts that its manifest does not name")
    return manifest


def _opened(raw: IO[bytes], identities: Sequence[Identity]) -> "IO[bytes] | AgeReader":
    is_age = raw.read(len(VERSION)) == VERSION
    raw.seek(0)
    if is_age and not identities:
        raise AgeFileUnopened("it is encrypted; say with --identity FILE which key opens it, or with --passphrase-file FILE")
    return AgeReader(raw, identities) if is_age else raw


def _take_out(opened: "IO[bytes] | AgeReader", folder: Path, progress: Callable[[int], None]) -> tuple[dict[str, Part], Manifest]:
    found: dict[str, Part] = {}
    manifest: Manifest | None = None
    source: Any = opened  # `read` alone is needed
    with tarfile.open(fileobj=source, mode="r|", tarinfo=_ShortHeader) as tar:
        for member in tar:
            body = tar.extractfile(member) if member.isreg() and not member.issparse() else None  # a hole takes no room in the archive
            if body is None or manifest is not None or member.name in found:
                raise BackupDamaged("it holds what a backup does not have")
            if member.name == NAME:
                manifest = parse_manifest(body.read(_MAX_MANIFEST))
            elif is_part(member.name):
                found[member.name] = _write(member.name, body, folder / member.name)
            else:
                raise BackupDamaged("it holds what a backup does not have")
            progress(member.offset_data + member.size)
    if manifest is None:
        raise BackupDamaged("its end is missing")
    return found, manifest


def _write(name: str, body: IO[bytes], to: Path) -> Part:
    reading = _Hashing(body)
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := reading.read(_CHUNK):
            file.write(chunk)
    return Part(name, reading.size, reading.hash.hexdigest())
