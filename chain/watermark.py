"""What a key has signed, on disk before it signs (docs/design/ledger.md, files): the one thing that keeps a delegate from
signing two blocks at one height.

The file lies beside the key and must never come from a backup: an older mark would let a key sign again what it has already signed
differently. A mark is written to a temporary file, fsynced, renamed and the folder fsynced, and only then may the signature be made.
A crash in between leaves a mark without a signature: signing the same hash again is allowed, another hash at that height never is.

A disk that returns another mark than was written would let a key sign twice, so the file carries its own hash. Files of version 1 have
none; they are read, and written as version 2.
"""

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chain.errors import LedgerError
from chain.keys import ChainId

FORMAT, WITHOUT_CHECK = "fhir-anchor watermark 2", "fhir-anchor watermark 1"
Mark = tuple[int, bytes]  # height, block hash


class Duty(StrEnum):
    """What a key signs; each has a mark of its own."""

    PRODUCE = "produced"
    VOTE = "voted"
    COSIGN = "cosigned"  # the checkpoint of the log as this block left it


Share = Callable[[bytes, Duty, int, bytes], None]  # key, duty, height, block hash; raises as `Watermark.advance` does


class DoubleSign(LedgerError):
    """Another hash was asked for at a height that is already marked, or a lower height. Nothing was signed."""


class WatermarkUnusable(LedgerError):
    """The file is missing, damaged, another key's or chain's, or in use by another process. Its key must not sign."""


class WatermarkUnwritable(LedgerError):
    """The mark could not be made durable for now (a full disk, one that is read-only): nothing was signed, and may be tried again."""


def create_watermark(path: Path, chain_id: ChainId, key: bytes, marks: Mapping[Duty, Mark] = MappingProxyType({})) -> None:
    """Once, together with the key, or with the last marks that a key can have made whose own file was lost.

    Raises `FileExistsError`: replacing a mark is what must never happen.
    """
    with path.open("x"):
        pass
    _write(path, chain_id, key, marks)


class Watermark:
    """The marks of one key, held by one process at a time."""

    def __init__(self, path: Path, chain_id: ChainId, key: bytes, share: Share | None = None) -> None:
        """Opens and locks the file that `create_watermark` made. Raises `WatermarkUnusable`.

        `share` keeps the marks that several hosts have in common; the file is then a second guard, which no backup of a database sets back.
        """
        self._path, self._chain_id, self._key, self._share = path, chain_id, key, share
        self._lock = _lock(path)
        try:
            self._marks = read_marks(path, chain_id, key)
        except WatermarkUnusable:
            self.close()
            raise

    def advance(self, duty: Duty, height: int, block_hash: bytes) -> None:
        """Durable when it returns; then `block_hash` may be signed. Raises `DoubleSign` and writes nothing if it may not,
        `WatermarkUnwritable`.
        """
        is_new = is_new_mark(duty, self._marks.get(duty), (height, block_hash))
        if self._share is not None:
            self._share(self._key, duty, height, block_hash)
        if is_new:
            marks = {**self._marks, duty: (height, block_hash)}
            try:
                _write(self._path, self._chain_id, self._key, marks)
            except OSError as error:
                reason = f"the watermark {self._path.name} cannot be written, so nothing was signed: {error.strerror}"
                raise WatermarkUnwritable(reason) from error
            self._marks = marks

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._lock)


def is_new_mark(duty: Duty, mark: Mark | None, asked: Mark) -> bool:
    """Whether a key with this mark signs something new with `asked`, and not the same again. Raises `DoubleSign` if it may not sign."""
    if mark is not None and asked != mark and asked[0] <= mark[0]:
        raise DoubleSign(f"height {asked[0]} was not signed: this key has already {duty} another block at height {mark[0]}")
    return asked != mark


def read_marks(path: Path, chain_id: ChainId, key: bytes) -> dict[Duty, Mark]:
    """The marks in the file, without locking it. Raises `WatermarkUnusable`."""
    try:
        fields: dict[str, Any] = json.loads(path.read_bytes())
        is_whole = fields["format"] == WITHOUT_CHECK or (fields["format"] == FORMAT and fields.pop("check") == _check(fields))
        is_ours = (fields["chain_id"], fields["key"]) == (chain_id.hex(), key.hex())
        marks = {Duty(duty): (int(height), bytes.fromhex(block_hash)) for duty, (height, block_hash) in fields["marks"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WatermarkUnusable(f"the watermark {path.name} is missing or damaged; its key must not sign") from error
    if not is_whole:
        raise WatermarkUnusable(f"the watermark {path.name} is not as it was written; its key must not sign")
    if not is_ours:
        raise WatermarkUnusable(f"the watermark {path.name} belongs to another key or chain")
    return marks


def _write(path: Path, chain_id: ChainId, key: bytes, marks: Mapping[Duty, Mark]) -> None:
    """A crash at any step leaves the old file or the new one, whole."""
    fields = {
        "format": FORMAT,
        "chain_id": chain_id.hex(),
        "key": key.hex(),
        "marks": {duty.value: [height, block_hash.hex()] for duty, (height, block_hash) in marks.items()},
    }
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w") as file:
        file.write(json.dumps({**fields, "check": _check(fields)}, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(fields: Mapping[str, Any]) -> str:
    """SHA-256 of all the other fields."""
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _lock(path: Path) -> int:
    """An exclusive lock that ends with the process, on a file of its own because the watermark's is replaced."""
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise WatermarkUnusable(f"the watermark {path.name} cannot be locked: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise WatermarkUnusable(f"the watermark {path.name} is in use by another process") from None
    return descriptor
