"""`backup restore`: a gateway in a blank folder, out of a backup and the bucket as it is now.

All is put together in a folder beside, checked there and renamed at the end: whatever fails leaves nothing behind and the backup untouched.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy import func, select

from chain import queries
from chain.block import block_hash
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.store import LedgerStore
from chain.transactions import Body, Role, parse_transaction
from chain.watermark import Duty, Mark, create_watermark
from gateway import tenure
from gateway.backup import archive, placing
from gateway.backup.after_backup import go_on_after
from gateway.backup.bucket import Compared, compare
from gateway.backup.contents import check_contents, kms_uri_of
from gateway.backup.manifest import DATABASE, GENESIS, KEK, LEDGER, SETTINGS, BackupRefused, Manifest
from gateway.backup.signing_again import Evidence, first_marks
from gateway.backup.snapshot import Progress
from gateway.bootstrap import keyring_of, open_services
from gateway.checkpoint_keys import begin_log_watermark, log_key
from gateway.erasure import destroy, marked
from gateway.errors import CouldNotCheck
from gateway.founding import sync_folder
from gateway.index import erasures, traces
from gateway.index import schema as t
from gateway.index.database import open_index
from gateway.key_files import KeyFileUnusable, delegate_key_paths, read_key
from gateway.receipt_format import from_json
from gateway.recorded import Begin, ReceiptInvalid, read_file
from gateway.settings import DATABASE_URLS, Settings, load_settings, save_settings
from gateway.storage.opening import open_object_store
from gateway.storage.packs import object_reader
from gateway.storage.port import StoredObject
from gateway.upgrading import upgrade
from gateway.vault.age_file import Identity

LATER = "written-after-backup.txt"  # below the home: names of what the bucket has and the backup does not know, one a line


@dataclass(frozen=True, slots=True)
class Request:
    """What the operator gave; `keys` is a folder like a home's `keys`, for a backup that has none."""

    file: Path
    identities: Sequence[Identity]  # what opens it if it is encrypted
    home: Path
    bucket_url: str | None
    databases: Mapping[str, str]  # addresses in PostgreSQL, by setting; what is not there lies below the home
    unsaved: Mapping[str, str]  # the same, but settings.json is not to know them
    keys: Path | None
    ledger: str | None  # the address of the one that was in use last
    receipts: Sequence[Path]
    known_height: int | None
    regardless: bool
    now: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What there is now. `height` is where the chain goes on; `bucket.unknown` objects came after the backup."""

    manifest: Manifest
    height: int
    bucket: Compared
    grants_in_force: int
    erased_again: int  # archives


def restore(request: Request, progress: Progress) -> Restored:
    """Raises BackupDamaged, BackupRefused, FoundingRefused, GatewayError, ValueError, OSError; then nothing is at `request.home`."""
    home = request.home
    if home.exists() and any(home.iterdir()):
        raise BackupRefused(f"{home} is not empty; a gateway is restored into a new or empty folder")
    home.parent.mkdir(parents=True, exist_ok=True)
    urls = {**request.unsaved, **request.databases}
    placing.check(urls)
    building = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        with ExitStack() as undo:
            restored, marks = _build(request, building, progress)
            placing.move_in(building, urls, marks, undo, progress)
            save_settings(building, {**_saved(building), **request.databases})
            sync_folder(building)
            building.rename(home)
            undo.pop_all()
    finally:
        shutil.rmtree(building, ignore_errors=True)
    sync_folder(home.parent, files=False)
    return restored


def _build(request: Request, building: Path, progress: Progress) -> tuple[Restored, dict[bytes, Mapping[Duty, Mark]]]:
    """Its databases are files. With the marks that each delegate's key begins with."""
    manifest = archive.take_out(request.file, building, request.identities, progress)
    _put_keys(request, building, manifest)
    if request.ledger is not None:
        placing.take_ledger(request.ledger, building / LEDGER, progress)
    check_contents(building, manifest, building / KEK, progress, request.bucket_url)
    _save_settings(request, building, manifest)
    settings = load_settings(building, {})
    genesis = Genesis.parse((building / GENESIS).read_bytes())
    old_blocks = object_reader(settings.effective_bucket_url)
    with closing(LedgerStore.open(settings.effective_ledger_url, genesis, archive=old_blocks)) as store:
        evidence = _evidence(request, store, genesis, building)
        marks = _write_watermarks(building / "keys", genesis, first_marks(evidence))
        bucket = _look_through(request, building, manifest, progress)
        upgrade(settings, request.now)
        ledger = Ledger(store, genesis)
        waiting = [parse_transaction(one.raw).body for one in store.candidates(ledger.pending())] if request.ledger else []
        in_force = _go_on(settings, ledger, waiting, manifest, request.now)
    return Restored(manifest, evidence.height, bucket, in_force, _erase_again(settings)), marks


def _put_keys(request: Request, building: Path, manifest: Manifest) -> None:
    """The keys that were kept apart, where the backup has none."""
    if manifest.with_keys and request.keys is not None:
        raise BackupRefused("the backup holds the keys; leave --keys out")
    if manifest.with_keys:
        return
    if request.keys is None:
        raise BackupRefused("the backup was made without keys; say with --keys where the folder with the gateway's keys is")
    for path in sorted(request.keys.iterdir()):
        if path.is_file() and not path.name.endswith(archive.NOT_KEYS):
            shutil.copyfile(path, building / "keys" / path.name)
            (building / "keys" / path.name).chmod(0o600)
    if not (building / KEK).is_file():
        raise BackupRefused(f"{request.keys} has no kek.json, without which nothing opens")


def _evidence(request: Request, store: LedgerStore, genesis: Genesis, building: Path) -> Evidence:
    with store.engine.connect() as connection:
        height = queries.height_of(connection)
        proposal = queries.stored_proposal(connection)
        head = queries.header_and_votes(connection, height)
    mark: Mark | None = None
    if proposal is not None:
        mark = (height + 1, block_hash(genesis.chain_id, proposal.header))
    elif head is not None:
        mark = (height, block_hash(genesis.chain_id, head[0]))
    seen = [_height_of(path, (building / GENESIS).read_bytes()) for path in request.receipts]
    elsewhere = _elsewhere(Ledger(store, genesis), building / "keys")
    return Evidence(height, mark, seen, request.known_height, request.ledger is not None, request.regardless, elsewhere)


def _elsewhere(ledger: Ledger, keys: Path) -> list[str]:
    """The acting delegates whose keys are not here, by name."""
    here = _delegates(keys)
    named = {delegate.key: delegate.name for delegate in ledger.genesis.delegates}
    found = {key: ledger.delegates.delegate(key) for key in ledger.delegates.acting().keys if key not in here}
    return [named.get(key, key.hex()) if entry is None else entry.name for key, entry in found.items()]


def _height_of(path: Path, genesis_bytes: bytes) -> int:
    try:
        _, (header, _) = read_file(path.read_bytes(), from_json, Begin(genesis_bytes), "receipt")
    except (ReceiptInvalid, CouldNotCheck) as error:
        raise BackupRefused(f"{path} is no receipt of this chain: {error}") from error
    return header.height


def _write_watermarks(keys: Path, genesis: Genesis, marks: Mapping[Duty, Mark]) -> dict[bytes, Mapping[Duty, Mark]]:
    delegates = _delegates(keys)
    for public, path in delegates.items():
        create_watermark(path.with_suffix(".watermark"), genesis.chain_id, public, marks)
    begin_log_watermark(keys, genesis.chain_id, marks)
    return dict.fromkeys([*delegates, log_key(keys).public], marks)


def _delegates(keys: Path) -> dict[bytes, Path]:
    """The delegates whose keys are here, by public key, with their files. BackupRefused unless these and the gateway's are usable."""
    try:
        read_key(keys / "gateway.json")
        return {read_key(path).public: path for path in delegate_key_paths(keys)}
    except KeyFileUnusable as error:
        raise BackupRefused(str(error)) from error


def _look_through(request: Request, building: Path, manifest: Manifest, progress: Progress) -> Compared:
    """The bucket as it is now; what the backup does not know goes to a list and stays where it is."""
    progress("looking through the bucket", 0, 1)
    store = open_object_store(request.bucket_url or manifest.bucket_url)
    with closing(sqlite3.connect(building / DATABASE)) as database, (building / LATER).open("w") as later:

        def note(item: StoredObject) -> None:
            later.write(f"{item.name}\n")

        return compare(store, database, note)


def _go_on(settings: Settings, ledger: Ledger, waiting: Sequence[Body], manifest: Manifest, now: int) -> int:
    """The database made fit to go on; how many grants are in force in it."""
    gateway = next(party.client_id for party in ledger.genesis.parties if party.role is Role.GATEWAY)
    keyring, store = keyring_of(settings), open_object_store(settings.effective_bucket_url)
    with closing(open_index(settings.effective_database_url, keyring)) as index, index.atomic() as connection:
        tenure.begin(connection, keyring, store, os.urandom)
        go_on_after(connection, ledger, waiting, gateway, made_at=manifest.made_at, log_size=manifest.log_size, now=now)
        standing = select(func.count()).select_from(t.consent_grant).where(t.consent_grant.c.revoked_at_sequence.is_(None))
        return connection.scalar(standing) or 0


def _erase_again(settings: Settings) -> int:
    """Destroy once more the keys that were destroyed after the backup: the bucket has a mark for each. How many archives it were."""
    services = open_services(settings)
    with closing(services.index):
        key_ids = marked(services.store, services.index_key)
        with services.index.atomic() as connection:
            rows = [erasures.row_of(connection, key_id) for key_id in key_ids if erasures.is_destroyed(connection, key_id) is False]
            destroy(services, connection, [row for row in rows if row is not None])
        traces.forget(services.index)
    if services.ledger is not None:
        services.ledger.close()
    return len(rows)


def _save_settings(request: Request, building: Path, manifest: Manifest) -> None:
    """What the operator had set, but for addresses of the place that was lost."""
    kept = {name: value for name, value in _saved(building).items() if name not in DATABASE_URLS}
    save_settings(building, {**kept, "kek_uri": kms_uri_of(building), "bucket_url": request.bucket_url or manifest.bucket_url})


def _saved(building: Path) -> dict[str, object]:
    saved: dict[str, object] = msgspec.json.decode((building / SETTINGS).read_bytes())
    return saved
