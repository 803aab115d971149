"""`backup create`: one file with all that a gateway needs besides its bucket, made while it serves.

Watermarks are not in it: a delegate that came back with an older one could sign a height again (docs/design/ledger.md, files).
"""

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec

from chain.block import Header
from chain.genesis import Genesis
from gateway.backup.archive import NOT_KEYS, ArchiveWriter, new_file
from gateway.backup.bucket import Compared, compare
from gateway.backup.manifest import DATABASE, FORMAT, GENESIS, KEK, LEDGER, SETTINGS, BackupRefused, Manifest, is_part
from gateway.backup.moment import one_moment
from gateway.backup.snapshot import Progress, Snapshot
from gateway.settings import DATABASE_URLS, Settings
from gateway.storage.opening import open_object_store
from gateway.vault.age_file import AgeWriter, Recipient
from gateway.vault.primitives import Random

_SLACK = 16 << 20  # bytes: for keys, headers of the archive and what the file system takes
_COUNTED = ("container", "archive", "party", "resource", "outbox")


@dataclass(frozen=True, slots=True)
class Created:
    """Where the backup is, what it says, and how the bucket was."""

    path: Path
    size: int
    manifest: Manifest
    bucket: Compared


def create(
    settings: Settings, out: Path, *, with_keys: bool, recipients: Sequence[Recipient] = (), now: int, random: Random, progress: Progress
) -> Created:
    """Write a backup to `out`, a new file or a folder that is there, encrypted if there are `recipients`.

    Copies of the databases lie beside it meanwhile; of an encrypted one in the home, which holds them anyway.
    Raises BackupRefused, Unavailable, ValueError, OSError.
    """
    genesis = Genesis.parse(settings.genesis_path.read_bytes())
    out = _new_path(out, f"fhir-anchor-{genesis.chain_id.hex()[:8]}-{now}.tar{'.age' if recipients else ''}")
    store = open_object_store(settings.effective_bucket_url)
    with one_moment(settings) as (database, ledger):
        beside = settings.home if recipients else out.parent
        _check_room(out.parent, database.size(), ledger.size(), beside)
        with new_file(out) as file:
            sealing = AgeWriter(file, recipients, random) if recipients else None
            writer = ArchiveWriter(sealing or file, now)
            _add_small(writer, settings, with_keys=with_keys)
            with _added(writer, LEDGER, ledger, beside, progress) as copied:
                head = _head(copied)
            with _added(writer, DATABASE, database, beside, progress) as copied:
                counts = _counts(copied)
                progress("looking through the bucket", 0, 1)
                bucket = compare(store, copied, lambda _: None)
            manifest = Manifest(
                format=FORMAT,
                software=version("fhir-anchor"),
                made_at=now,
                chain_id=genesis.chain_id.hex(),
                height=head.height if head else 0,
                head=(head.hash() if head else genesis.chain_id).hex(),
                log_size=head.log_size if head else 0,
                counts=counts,
                bucket_url=settings.effective_bucket_url,
                missing_objects=bucket.missing_count,
                with_keys=with_keys,
                parts=tuple(writer.parts),
            )
            writer.finish(manifest)
            if sealing is not None:
                sealing.finish()
    return Created(out, out.stat().st_size, manifest, bucket)


def _new_path(out: Path, name: str) -> Path:
    """`out`, or `name` in the folder `out`. Raises BackupRefused."""
    path = out / name if out.is_dir() else out
    if path.exists():
        raise BackupRefused(f"{path} is there already; a backup is never written over")
    if not path.parent.is_dir():
        raise BackupRefused(f"there is no folder {path.parent} to put the backup into; make it first")
    return path


def _check_room(folder: Path, database: int, ledger: int, beside: Path) -> None:
    """The file itself, and `beside` one copy at a time."""
    wanted = Counter({folder.stat().st_dev: database + ledger + _SLACK})
    wanted[beside.stat().st_dev] += max(database, ledger)
    for place in (folder, beside):
        needed, free = wanted[place.stat().st_dev], shutil.disk_usage(place).free
        if free < needed:
            raise BackupRefused(f"{place} has room for {free >> 20} MB where {needed >> 20} MB are needed; nothing was written")


def _add_small(writer: ArchiveWriter, settings: Settings, *, with_keys: bool) -> None:
    writer.add(GENESIS, settings.genesis_path)
    writer.put(SETTINGS, _settings(settings))
    if with_keys:
        writer.add(KEK, settings.kek_path)
        for path in sorted(settings.keys_path.iterdir()):
            name = f"keys/{path.name}"
            if path.is_file() and is_part(name) and name != KEK and not path.name.endswith(NOT_KEYS):
                writer.add(name, path)


def _settings(settings: Settings) -> bytes:
    """What the operator chose, but for the addresses of databases: they may hold passwords, and a restore is told its own."""
    saved: dict[str, object] = msgspec.json.decode((settings.home / SETTINGS).read_bytes())
    return msgspec.json.encode({name: value for name, value in saved.items() if name not in DATABASE_URLS})


@contextmanager
def _added(writer: ArchiveWriter, name: str, snapshot: Snapshot, folder: Path, progress: Progress) -> Iterator[sqlite3.Connection]:
    """The copy that was put into the archive, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix=".fhir-anchor-", dir=folder) as beside:
        copied = Path(beside) / name
        snapshot.copy(copied, f"copying {name}", progress)
        writer.add(name, copied)
        with closing(sqlite3.connect(copied)) as connection:
            yield connection


def _counts(database: sqlite3.Connection) -> dict[str, int]:
    return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTED}  # noqa: S608 - names of ours


def _head(ledger: sqlite3.Connection) -> Header | None:
    row = ledger.execute("SELECT header FROM block ORDER BY height DESC LIMIT 1").fetchone()
    return Header.from_bytes(row[0]) if row else None
