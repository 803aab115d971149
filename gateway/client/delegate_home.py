"""A delegate's own folder: `genesis.json`, `ledger.db` and, as it comes, `refused/` with proofs. Key and watermark lie elsewhere."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.replica import Replica
from chain.store import LedgerStore
from chain.watermark import create_watermark


class NoDelegateHome(Exception):
    """There is no copy of the chain to work on, or it is another chain's; the message says what to do."""


def found_home(home: Path, genesis_file: Path, key: SigningKey, watermark: Path) -> None:
    """Begin a copy of the chain of `genesis_file` in a new or empty folder. A crash leaves all of it or nothing.

    The key's watermark is made with it if the key has none. One that is there stays: it says what the key has signed, whatever became of
    an earlier copy. Raises NoDelegateHome, chain.genesis.GenesisInvalid, OSError.
    """
    if home.exists() and any(home.iterdir()):
        raise NoDelegateHome(f"{home} is not empty; a copy of a chain begins in a new or empty folder")
    body = genesis_file.read_bytes()
    genesis = Genesis.parse(body)
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        LedgerStore.create(f"sqlite:///{building.resolve() / 'ledger.db'}", genesis).close()
        (building / "genesis.json").write_bytes(body)
        if not watermark.exists():
            create_watermark(watermark, genesis.chain_id, key.public)
        for path in (building / "genesis.json", building / "ledger.db", building):
            _sync(path)
        building.rename(home)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _sync(home.parent)


@contextmanager
def opened(home: Path, *, read_only: bool = False) -> Iterator[tuple[LedgerStore, Genesis]]:
    """The copy. Raises NoDelegateHome, LedgerError, OSError."""
    if not (home / "genesis.json").is_file():
        raise NoDelegateHome(f"there is no copy of a chain at {home}; give --genesis GENESIS.json at the first start")
    genesis = Genesis.parse((home / "genesis.json").read_bytes())
    store = LedgerStore.open(f"sqlite:///{home.resolve() / 'ledger.db'}", genesis, read_only=read_only)
    try:
        yield store, genesis
    finally:
        store.close()


@contextmanager
def replica_of(home: Path, key: SigningKey, watermark: Path) -> Iterator[tuple[Replica, Genesis]]:
    """The copy with the key that signs. Raises as `opened`."""
    with opened(home) as (store, genesis):
        replica = Replica.open(store, genesis, key, watermark)
        try:
            yield replica, genesis
        finally:
            replica.close()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
