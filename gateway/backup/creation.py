"""`backup create`: one file with all that a gateway needs besides its bucket, made while it serves.

Watermarks are not in it: a delegate that came back with an older one could sign a height again (docs/design/ledger.md, files).
"""

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from chain.block import Header
from chain.genesis import Genesis
from gateway.backup.archive import NOT_KEYS, ArchiveWriter, new_file
from gateway.backup.bucket import Compared, compare
from gateway.backup.manifest import DATABASE, FORMAT, GENESIS, KEK, LEDGER, SETTINGS, BackupRefused, Manifest, is_part
from gateway.backup.snapshot import Progress, copy, files_of, one_moment, size_of
from gateway.settings import Settings
from gateway.storage.opening import open_object_store

_SLACK = 16 << 20  # bytes: for keys, headers of the archive and what the file system takes
_COUNTED = ("container", "archive", "party", "resource", "outbox")


@dataclass(frozen=True, slots=True)
class Created:
    """Where the backup is, what it says, and how the bucket was."""

    path: Path
    size: int
    manifest: Manifest
    bucket: Compared


def create(settings: Settings, out: Path, *, with_keys: bool, now: int, progress: Progress) -> Created:
    """Write a backup to `out`, a new file or a folder that is there. Raises BackupRefused, Unavailable, ValueError, OSError."""
    genesis = Genesis.parse(settings.genesis_path.read_bytes())
    if out.is_dir():
        out /= f"fhir-anchor-{genesis.chain_id.hex()[:8]}-{now}.tar"
    if out.exists() or not out.parent.is_dir():
        raise BackupRefused(f"{out} is there already, or its folder is not; a backup is never written over")
    store = open_object_store(settings.effective_bucket_url)
    with one_moment(*files_of(settings)) as (database, ledger):
        _check_room(out.parent, size_of(database), size_of(ledger))
        with new_file(out) as file:
            writer = ArchiveWriter(file, now)
            _add_small(writer, settings, with_keys=with_keys)
            for name, reader in ((LEDGER, ledger), (DATABASE, database)):
                _add_database(writer, name, reader, out.parent, progress)
            progress("looking through the bucket", 0, 1)
            bucket = compare(store, database, lambda _: None)
            manifest = _manifest(settings, genesis, writer, (database, ledger), bucket, now=now, with_keys=with_keys)
            writer.finish(manifest)
    return Created(out, out.stat().st_size, manifest, bucket)


def _check_room(folder: Path, *sizes: int) -> None:
    """The file itself, and beside it one copy at a time."""
    wanted, free = sum(sizes) + max(sizes) + _SLACK, shutil.disk_usage(folder).free
    if free < wanted:
        raise BackupRefused(f"{folder} has room for {free >> 20} MB where {wanted >> 20} MB are needed; nothing was written")


def _add_small(writer: ArchiveWriter, settings: Settings, *, with_keys: bool) -> None:
    writer.add(GENESIS, settings.genesis_path)
    writer.add(SETTINGS, settings.home / SETTINGS)
    if with_keys:
        writer.add(KEK, settings.kek_path)
        for path in sorted(settings.keys_path.iterdir()):
            name = f"keys/{path.name}"
            if path.is_file() and is_part(name) and name != KEK and not path.name.endswith(NOT_KEYS):
                writer.add(name, path)


def _add_database(writer: ArchiveWriter, name: str, reader: sqlite3.Connection, folder: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix=".fhir-anchor-", dir=folder) as beside:
        copied = Path(beside) / name
        copy(reader, copied, f"copying {name}", progress)
        writer.add(name, copied)


def _manifest(
    settings: Settings,
    genesis: Genesis,
    writer: ArchiveWriter,
    readers: tuple[sqlite3.Connection, sqlite3.Connection],
    bucket: Compared,
    *,
    now: int,
    with_keys: bool,
) -> Manifest:
    database, ledger = readers
    row = ledger.execute("SELECT header FROM block ORDER BY height DESC LIMIT 1").fetchone()
    head = Header.from_bytes(row[0]) if row else None
    return Manifest(
        format=FORMAT,
        software=version("fhir-anchor"),
        made_at=now,
        chain_id=genesis.chain_id.hex(),
        height=head.height if head else 0,
        head=(head.hash() if head else genesis.chain_id).hex(),
        log_size=head.log_size if head else 0,
        counts={name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTED},  # noqa: S608 - names of ours
        bucket_url=settings.effective_bucket_url,
        missing_objects=bucket.missing_count,
        with_keys=with_keys,
        parts=tuple(writer.parts),
    )
