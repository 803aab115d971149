"""Making a new gateway: everything is made in a folder beside `home` and renamed at the end, so that a failure leaves nothing half made.

Databases of PostgreSQL must be there, and empty; what a failure leaves in them is taken out again.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from chain import postgresql
from chain.errors import LedgerError
from chain.genesis import MAX_STAKE, MIN_ELECTED, Delegate, Genesis, GenesisInvalid, Stake, make_genesis
from chain.keys import ChainId
from chain.ledger import Ledger
from chain.store import LedgerStore
from chain.transactions import PartyAction, PartyBody, Role
from chain.watermark import create_watermark
from gateway.checkpoint_keys import log_key, register
from gateway.errors import Unavailable
from gateway.index import secrets
from gateway.index.database import create_index, open_index
from gateway.key_files import write_key
from gateway.settings import Settings, check_settings, save_settings
from gateway.storage.opening import open_object_store
from gateway.storage.probe import BucketUnfit, verify_bucket
from gateway.upgrading import mark_tagged
from gateway.vault.kek_file import KekFile, create_kek
from gateway.vault.keyring import Keyring
from gateway.vault.kms import kms_of
from gateway.vault.primitives import Random

EPOCH_BLOCKS = 1000
HEARTBEAT_SECONDS = 600
GATEWAY_CLIENT_ID = "gateway"
_PATIENCE = 10.0  # seconds
STAKE_HOLDER = "operator"  # holds all voting weight at first; `ledger transfer` gives it to others


class FoundingRefused(Exception):
    """No gateway was made; the message says why. Nothing was left behind."""


def found(
    home: Path,
    *,
    delegates: int,
    slot_seconds: int,
    chosen: Mapping[str, object],
    now: int,
    random: Random,
    unsaved: Mapping[str, str] | None = None,
    kek_uri: str | None = None,
    elsewhere: tuple[Delegate, ...] = (),
) -> Genesis:
    """Make a gateway at `home`, which must not exist or be empty. `chosen` are the settings to keep, `unsaved` addresses of databases that
    stay in the environment, `kek_uri` says where the key-encryption key goes, kept or not. Keys are made for `delegates`; those `elsewhere`
    have theirs. Raises FoundingRefused, BadSetting, KmsFailed.
    """
    if home.exists() and any(home.iterdir()):
        raise FoundingRefused(f"{home} is not empty; a gateway is made in a new or empty folder")
    check_settings(chosen)
    urls = {**(unsaved or {}), **{name: str(chosen[name]) for name in ("database_url", "ledger_url") if chosen.get(name)}}
    check_databases(urls)
    if bucket_url := chosen.get("bucket_url"):
        _verify_bucket(str(bucket_url), random)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    except OSError as error:
        raise FoundingRefused(f"{error.filename or home.parent}: {error.strerror}; a gateway needs a folder it may write to") from error
    try:
        with ExitStack() as undo:
            settings = Settings(building, urls.get("database_url"), urls.get("ledger_url"), kek_uri=kek_uri)
            genesis = _build(building, delegates, elsewhere, slot_seconds, chosen, now, random)
            _make_kek(settings, now, random, undo)
            _make_databases(settings, genesis, random, undo, now)
            mark_tagged(settings)
            sync_folder(building)
            building.rename(home)
            undo.pop_all()
    except GenesisInvalid as error:
        raise FoundingRefused(f"{delegates} delegates here and {len(elsewhere)} elsewhere: {error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    sync_folder(home.parent, files=False)
    return genesis


def _verify_bucket(url: str, random: Random) -> None:
    try:
        verify_bucket(open_object_store(url), f"init-{random(16).hex()}")
    except ValueError as error:
        raise FoundingRefused(f"--bucket: {error}") from error
    except (BucketUnfit, Unavailable) as error:
        raise FoundingRefused(f"--bucket {url}: {str(error).removeprefix('storage: ')}") from error


def _build(
    folder: Path, delegates: int, elsewhere: tuple[Delegate, ...], slot_seconds: int, chosen: Mapping[str, object], now: int, random: Random
) -> Genesis:
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    gateway_key = write_key(keys / "gateway.json", GATEWAY_CLIENT_ID, random(32)).public
    gateway = PartyBody(PartyAction.REGISTER, GATEWAY_CLIENT_ID, "fhir-anchor gateway", Role.GATEWAY, gateway_key, log_key(keys).public)
    stake_key = write_key(keys / "stake.json", STAKE_HOLDER, random(32))
    names = [f"delegate-{number}" for number in range(1, delegates + 1)]
    delegate_keys = {name: write_key(keys / f"{name}.json", name, random(32)) for name in names}
    body = make_genesis(
        network=f"fhir-anchor-{random(4).hex()}",
        started_at=now,
        slot_seconds=slot_seconds,
        epoch_blocks=EPOCH_BLOCKS,
        heartbeat_slots=max(1, HEARTBEAT_SECONDS // slot_seconds),
        delegates=(*(Delegate(name, key.public) for name, key in delegate_keys.items()), *elsewhere),
        parties=(gateway,),
        seats=max(MIN_ELECTED, delegates + len(elsewhere)),
        stakes=(Stake(STAKE_HOLDER, stake_key.public, MAX_STAKE),),
    )
    genesis = Genesis.parse(body)
    for name, key in delegate_keys.items():
        create_watermark(keys / f"{name}.watermark", ChainId(genesis.chain_id), key.public)
    (folder / "bucket").mkdir()
    save_settings(folder, chosen)
    (folder / "genesis.json").write_bytes(body)
    return genesis


def _make_kek(settings: Settings, now: int, random: Random, undo: ExitStack) -> None:
    try:
        create_kek(settings.kek_path, random, kms_of(settings.kek_uri), now)
    except OSError as error:
        raise FoundingRefused(
            f"--kek-uri {settings.kek_uri}: {error.strerror}; a new file is made there, in a folder that is there"
        ) from error
    undo.callback(settings.kek_path.unlink, missing_ok=True)


def check_databases(urls: Mapping[str, str]) -> None:
    """Before anything is made: whether they can be reached, and are empty. Raises FoundingRefused."""
    used = [url for url in urls.values() if postgresql.is_postgresql(url)]
    if len(used) == 2 and postgresql.is_same(*used):
        raise FoundingRefused("--ledger-url is the same database as --database-url; make one for each")
    for name, url in urls.items():
        if postgresql.is_postgresql(url):
            with database_in_words(name, url):
                engine = postgresql.open_engine(url, patience=_PATIENCE)
                try:
                    empty = postgresql.is_empty(engine)
                finally:
                    engine.dispose()
            if not empty:
                raise FoundingRefused(f"{_flag(name)}: {postgresql.place(url)} is not empty; a new gateway needs databases of its own")


def _make_databases(settings: Settings, genesis: Genesis, random: Random, undo: ExitStack, now: int) -> None:
    url = settings.effective_ledger_url
    with database_in_words("ledger_url", url):
        LedgerStore.create(url, genesis).close()
        undo.callback(take_out, url)
    url = settings.effective_database_url
    with database_in_words("database_url", url):
        create_index(url)
        undo.callback(take_out, url)
        with closing(open_index(url)) as index, index.atomic() as connection:
            secrets.create(connection, Keyring(KekFile(settings.kek_path, kms_of(settings.kek_uri))), random)
            with closing(Ledger.open(settings.effective_ledger_url, genesis)) as ledger:
                register(connection, ledger, settings.keys_path, now)


def take_out(url: str) -> None:
    """Undo the making of a database: PostgreSQL's is there before and after, and empty."""
    if postgresql.is_postgresql(url):
        engine = postgresql.open_engine(url, patience=_PATIENCE)
        postgresql.drop_all(engine)
        engine.dispose()


@contextmanager
def database_in_words(name: str, url: str) -> Iterator[None]:
    """What hinders it, for the operator, as FoundingRefused; nothing of the address but its place."""
    try:
        yield
    except (DBAPIError, Unavailable) as error:
        cause = error if isinstance(error, DBAPIError) else error.__cause__
        if not postgresql.is_postgresql(url) or not isinstance(cause, DBAPIError):
            raise
        raise FoundingRefused(f"{_flag(name)}: {postgresql.place(url)}: {postgresql.why(cause)}") from error
    except LedgerError as error:
        raise FoundingRefused(f"{_flag(name)}: {error}") from error


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def sync_folder(folder: Path, *, files: bool = True) -> None:
    """Make what lies in `folder`, and its entry names, survive a power cut."""
    for path in [*(folder.rglob("*") if files else ()), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
