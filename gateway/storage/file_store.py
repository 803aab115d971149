"""A bucket that is a folder of a local file system with hard links."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import Unavailable
from gateway.storage.port import ObjectExists, ObjectMissing, StoredObject, verify_name

TEMPORARY = ".tmp"  # below the bucket, so on its file system; no object's name, never listed
_BLOCK = 4096  # bytes: what takes room on a disk
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "access is denied",
    errno.EROFS: "it is read-only",
}


class FileObjectStore:
    """Objects are files below `root`, which must exist: a bucket that is not mounted is `Unavailable`, not empty."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable_folders: set[Path] = set()

    def put_if_absent(self, name: str, body: bytes) -> None:
        """In commit order; what a crash leaves after each step stands beside it."""
        path = self._path(name)
        with _faults():
            self._check_root()
            self._make_folder(self._root / TEMPORARY)  # an empty folder
            self._make_folder(path.parent)  # an empty folder
            temporary = self._root / TEMPORARY / secrets.token_hex(16)
            try:
                _write_durably(temporary, body)  # a left-over, removed by `remove_left_overs`
                os.link(temporary, path)  # the whole object and a left-over; not acknowledged, may vanish
            except FileExistsError:
                _sync_folder(path.parent)  # the winner may not have come so far, and its caller's retry counts on it
                raise ObjectExists(name) from None
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(path.parent)  # the object, for good

    def get(self, name: str) -> bytes:
        with _faults(), self._reading(name) as handle:
            return _read(handle, 0, os.fstat(handle).st_size)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise ValueError("offset and length are not negative")
        with _faults(), self._reading(name) as handle:
            return _read(handle, offset, length)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Holds the names of one folder at a time."""
        with _faults():
            self._check_root()
            yield from self._below(self._root, "", prefix)

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _faults():
            self._check_root()
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync_folder(path.parent)

    def check_writable(self) -> None:
        """Makes and removes a file where those of unfinished puts are: what a crash leaves of it goes with them."""
        with _faults():
            self._check_root()
            self._make_folder(self._root / TEMPORARY)
            temporary = self._root / TEMPORARY / secrets.token_hex(16)
            try:
                _write_durably(temporary, bytes(_BLOCK))
            finally:
                temporary.unlink(missing_ok=True)

    def remove_left_overs(self, *, older_than: int, now: int) -> int:
        """Removes what crashes left of unfinished puts, once `older_than` seconds old; how many. For the start of the service."""
        removed = 0
        with _faults():
            folder = self._root / TEMPORARY
            for left_over in sorted(folder.iterdir()) if folder.is_dir() else ():
                if left_over.stat().st_mtime < now - older_than:
                    left_over.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _path(self, name: str) -> Path:
        verify_name(name)
        return self._root / name

    def _check_root(self) -> None:
        if not self._root.is_dir():
            raise Unavailable("storage: the bucket's folder is not there")

    def _make_folder(self, folder: Path) -> None:
        """Makes `folder` and sees once that it will survive, whoever made it."""
        if folder in self._durable_folders or folder == self._root:
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)
        self._durable_folders.add(folder)

    @contextmanager
    def _reading(self, name: str) -> Iterator[int]:
        path = self._path(name)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            self._check_root()
            raise ObjectMissing(name) from None
        try:
            if os.path.isdir(handle):  # noqa: PTH112 - asks the open file, not the name
                raise ObjectMissing(name)
            yield handle
        finally:
            os.close(handle)

    def _below(self, folder: Path, at: str, prefix: str) -> Iterator[StoredObject]:
        """The objects in `folder`, whose name in the bucket is `at`, in the order of full names."""
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name + "/" * entry.is_dir())
        for entry in entries:
            name = at + entry.name
            if entry.is_dir():
                inner = name + "/"
                if name != TEMPORARY and (inner.startswith(prefix) or prefix.startswith(inner)):
                    yield from self._below(folder / entry.name, inner, prefix)
            elif name.startswith(prefix):
                try:
                    status = entry.stat()
                except FileNotFoundError:  # deleted since the folder was read
                    continue
                yield StoredObject(name, status.st_size, int(status.st_mtime))


def _write_durably(path: Path, body: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(handle: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes, fewer only at the end of the file; one system call hands out 2 GB at most."""
    chunks = []
    while length > 0 and (chunk := os.pread(handle, length, offset)):
        chunks.append(chunk)
        offset += len(chunk)
        length -= len(chunk)
    return b"".join(chunks)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _faults() -> Iterator[None]:
    """What the file system refuses is the store out of reach; paths stay out of the sentence."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or "it failed")
        raise Unavailable(f"storage: {reason}") from error
