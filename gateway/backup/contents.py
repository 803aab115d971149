"""Whether what was taken out of a backup, or put together for a restore, is whole: databases, chain, keys."""

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.exc import DatabaseError

from chain.errors import LedgerError
from chain.genesis import Genesis, GenesisInvalid
from chain.store import LedgerStore
from chain.verify import verify_chain
from gateway.backup.archive import is_encrypted, take_out
from gateway.backup.manifest import DATABASE, GENESIS, KEK, LEDGER, SETTINGS, BackupDamaged, Manifest
from gateway.backup.snapshot import Progress
from gateway.errors import GatewayError
from gateway.index import secrets
from gateway.index.database import open_index
from gateway.key_files import KeyFileUnusable, delegate_key_paths, read_key
from gateway.settings import Settings
from gateway.storage.packs import object_reader
from gateway.vault.age_file import Identity
from gateway.vault.kek_file import KekFile
from gateway.vault.keyring import Keyring
from gateway.vault.kms import is_kms_uri, kms_of


def verify_backup(file: Path, keys: Path | None, identities: Sequence[Identity], progress: Progress) -> Manifest:
    """`backup verify`: take a backup out and check all of it, beside itself; of an encrypted one nothing is to lie there in clear, so among
    this machine's temporary files. Raises BackupDamaged, AgeFileUnopened, OSError.

    `keys`: a folder with the key-encryption key, for a backup that has none; without it the keyring stays unchecked.
    """
    beside = None if is_encrypted(file) else file.parent
    with tempfile.TemporaryDirectory(prefix=".fhir-anchor-", dir=beside) as folder:
        manifest = take_out(file, Path(folder), identities, progress)
        kek = Path(folder) / KEK if manifest.with_keys else keys and keys / "kek.json"
        check_contents(Path(folder), manifest, kek, progress)
        if manifest.with_keys:
            _check_ledger_keys(Path(folder) / "keys")
        return manifest


def check_contents(folder: Path, manifest: Manifest, kek: Path | None, progress: Progress, bucket_url: str | None = None) -> None:
    """Raises BackupDamaged. `kek` is where the key-encryption key lies, None where it is kept apart and not to be had. Old blocks are read
    in the bucket at `bucket_url`, by default the backup's: Unavailable where that cannot be reached.
    """
    settings = Settings(home=folder)
    for number, (name, is_whole) in enumerate(((DATABASE, "gateway.db"), (LEDGER, "ledger.db"))):
        progress("checking the databases", number, 2)
        _check_file(folder / name, is_whole)
    progress("verifying the chain", 0, 1)
    try:
        genesis = Genesis.parse((folder / GENESIS).read_bytes())
        if genesis.chain_id.hex() != manifest.chain_id:
            raise BackupDamaged("its genesis is another chain's than its manifest says")
        _check_chain(settings, genesis, manifest, bucket_url or manifest.bucket_url)
    except (GenesisInvalid, LedgerError, DatabaseError) as error:
        raise BackupDamaged(f"its chain: {error}") from error
    if kek is not None:
        _check_keyring(settings, kek)


def _check_ledger_keys(keys: Path) -> None:
    """Without them nothing could be submitted or produced."""
    try:
        for path in (keys / "gateway.json", *delegate_key_paths(keys)):
            read_key(path)
    except KeyFileUnusable as error:
        raise BackupDamaged(f"its keys: {str(error).removeprefix(f'{keys}/')}") from error


def kms_uri_of(folder: Path) -> str | None:
    """The KMS that wraps the key-encryption key, by the saved settings; None where a file holds it as it is."""
    saved = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=dict[str, Any])
    uri = str(saved.get("kek_uri") or "")
    return uri if is_kms_uri(uri) else None


def _check_file(path: Path, name: str) -> None:
    try:
        with closing(sqlite3.connect(path)) as database:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupDamaged(f"{name} does not open: {error}") from error
    if found != "ok":
        raise BackupDamaged(f"{name} is damaged: {found}")


def _check_chain(settings: Settings, genesis: Genesis, manifest: Manifest, bucket_url: str) -> None:
    """Every block again from the genesis; the backup's head must be among them."""
    known = [(manifest.height, bytes.fromhex(manifest.head))] if manifest.height else []
    with closing(LedgerStore.open(settings.effective_ledger_url, genesis, archive=object_reader(bucket_url))) as store:
        for finding in verify_chain(store, genesis, known):
            raise BackupDamaged(f"its chain: {finding.subject}: {finding.detail}")


def _check_keyring(settings: Settings, kek: Path) -> None:
    try:
        keyring = Keyring(KekFile(kek, kms_of(kms_uri_of(settings.home))))
        with closing(open_index(settings.effective_database_url, keyring)) as index, index.reading() as connection:
            secrets.load(connection, keyring)
    except GatewayError as error:
        raise BackupDamaged(f"its keyring does not open with the key-encryption key in {kek.name}: {error}") from error
