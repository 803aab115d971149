"""Making a new gateway: everything is made in a folder beside `home` and renamed at the end, so that a failure leaves nothing half made."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from chain.genesis import Delegate, Genesis, GenesisInvalid, make_genesis
from chain.keys import ChainId
from chain.store import LedgerStore
from chain.transactions import PartyAction, PartyBody, Role
from chain.watermark import create_watermark
from gateway.errors import Unavailable
from gateway.index import secrets
from gateway.index.database import create_index, open_index
from gateway.key_files import write_key
from gateway.settings import Settings, save_settings
from gateway.storage.opening import open_object_store
from gateway.storage.probe import BucketUnfit, verify_bucket
from gateway.upgrading import mark_tagged
from gateway.vault.keyring import Keyring, create_kek, load_kek
from gateway.vault.primitives import Random

EPOCH_BLOCKS = 1000
HEARTBEAT_SECONDS = 600
GATEWAY_CLIENT_ID = "gateway"


class FoundingRefused(Exception):
    """No gateway was made; the message says why. Nothing was left behind."""


def found(home: Path, *, delegates: int, slot_seconds: int, chosen: Mapping[str, object], now: int, random: Random) -> Genesis:
    """Make a gateway at `home`, which must not exist or be empty. `chosen` are the settings to keep. Raises FoundingRefused, BadSetting."""
    if home.exists() and any(home.iterdir()):
        raise FoundingRefused(f"{home} is not empty; a gateway is made in a new or empty folder")
    if bucket_url := chosen.get("bucket_url"):
        _verify_bucket(str(bucket_url), random)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    except OSError as error:
        raise FoundingRefused(f"{error.filename or home.parent}: {error.strerror}; a gateway needs a folder it may write to") from error
    try:
        genesis = _build(building, delegates, slot_seconds, chosen, now, random)
        _sync(building)
        building.rename(home)
    except GenesisInvalid as error:
        raise FoundingRefused(f"--delegates {delegates}: {error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _sync(home.parent, files=False)
    return genesis


def _verify_bucket(url: str, random: Random) -> None:
    try:
        verify_bucket(open_object_store(url), f"init-{random(16).hex()}")
    except ValueError as error:
        raise FoundingRefused(f"--bucket: {error}") from error
    except (BucketUnfit, Unavailable) as error:
        raise FoundingRefused(f"--bucket {url}: {str(error).removeprefix('storage: ')}") from error


def _build(folder: Path, delegates: int, slot_seconds: int, chosen: Mapping[str, object], now: int, random: Random) -> Genesis:
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    create_kek(keys / "kek.json", random)
    gateway_key = write_key(keys / "gateway.json", GATEWAY_CLIENT_ID, random(32))
    names = [f"delegate-{number}" for number in range(1, delegates + 1)]
    delegate_keys = {name: write_key(keys / f"{name}.json", name, random(32)) for name in names}
    body = make_genesis(
        network=f"fhir-anchor-{random(4).hex()}",
        started_at=now,
        slot_seconds=slot_seconds,
        epoch_blocks=EPOCH_BLOCKS,
        heartbeat_slots=max(1, HEARTBEAT_SECONDS // slot_seconds),
        delegates=tuple(Delegate(name, key.public) for name, key in delegate_keys.items()),
        parties=(PartyBody(PartyAction.REGISTER, GATEWAY_CLIENT_ID, "fhir-anchor gateway", Role.GATEWAY, gateway_key.public, None),),
    )
    genesis = Genesis.parse(body)
    for name, key in delegate_keys.items():
        create_watermark(keys / f"{name}.watermark", ChainId(genesis.chain_id), key.public)
    (folder / "bucket").mkdir()
    save_settings(folder, chosen)
    settings = Settings(home=folder)
    LedgerStore.create(settings.effective_ledger_url, genesis).close()
    create_index(settings.effective_database_url)
    index = open_index(settings.effective_database_url)
    with index.atomic() as connection:
        secrets.create(connection, Keyring(load_kek(keys / "kek.json")), random)
    index.close()
    mark_tagged(settings)
    (folder / "genesis.json").write_bytes(body)
    return genesis


def _sync(folder: Path, *, files: bool = True) -> None:
    """Make what lies in `folder`, and its entry names, survive a power cut."""
    for path in [*(folder.rglob("*") if files else ()), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
