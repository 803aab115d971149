"""A copy of a chain in a folder: `genesis.json`, `ledger.db`, `snapshot` if the copy began with one and, as it comes, `refused/` with
proofs. A delegate's key and watermark lie elsewhere.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chain.findings import Finding
from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.replica import Replica
from chain.snapshot import begin_copy, load_base
from chain.store import LedgerStore
from chain.verify import verify_chain
from chain.watermark import create_watermark

SNAPSHOT = "snapshot"


class NoDelegateHome(Exception):
    """There is no copy of the chain to work on, or it is another chain's; the message says what to do."""


def found_home(home: Path, genesis_file: Path, key: SigningKey, watermark: Path, snapshot: Path | None = None) -> None:
    """Begin a copy of the chain of `genesis_file` in a new or empty folder, at genesis or with a snapshot. A crash leaves all or nothing.

    The key's watermark is made with it if the key has none. One that is there stays: it says what the key has signed, whatever became of
    an earlier copy. Raises NoDelegateHome, LedgerError (GenesisInvalid, FileInvalid), OSError.
    """
    with building(home, genesis_file.read_bytes()) as (folder, genesis, url):
        if snapshot is None:
            LedgerStore.create(url, genesis).close()
        else:
            shutil.copyfile(snapshot, folder / SNAPSHOT)
            with (folder / SNAPSHOT).open("rb") as file:
                begin_copy(url, genesis, file)
        if not watermark.exists():
            create_watermark(watermark, genesis.chain_id, key.public)


@contextmanager
def building(home: Path, genesis_bytes: bytes) -> Iterator[tuple[Path, Genesis, str]]:
    """A folder beside `home` that takes its place when the block has ended, durable: with the genesis, and the address of a ledger to make.

    Raises NoDelegateHome, GenesisInvalid, OSError.
    """
    if home.exists() and any(home.iterdir()):
        raise NoDelegateHome(f"{home} is not empty; a copy of a chain begins in a new or empty folder")
    genesis = Genesis.parse(genesis_bytes)
    home.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        (folder / "genesis.json").write_bytes(genesis_bytes)
        yield folder, genesis, f"sqlite:///{folder.resolve() / 'ledger.db'}"
        for path in (*folder.iterdir(), folder):
            _sync(path)
        folder.rename(home)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _sync(home.parent)


def verify_copy(home: Path, store: LedgerStore, genesis: Genesis, known: Iterable[tuple[int, bytes]] = ()) -> Iterator[Finding]:
    """What does not hold of the copy, each block after its beginning executed again; a snapshot that it began with is checked first.

    Raises FileInvalid if that does not hold.
    """
    base = None
    if (home / SNAPSHOT).exists():
        with (home / SNAPSHOT).open("rb") as file:
            base = load_base(file, genesis)
    return verify_chain(store, genesis, known, base=base)


@contextmanager
def opened(home: Path, *, read_only: bool = False) -> Iterator[tuple[LedgerStore, Genesis]]:
    """The copy. Raises NoDelegateHome, LedgerError, OSError."""
    if not (home / "genesis.json").is_file():
        how = "`delegate --genesis GENESIS.json` makes one at its first start, `ledger import` from a file"
        raise NoDelegateHome(f"there is no copy of a chain at {home}; {how}")
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
