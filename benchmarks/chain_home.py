"""A chain with its four delegates in this process, without a gateway around it: what the jobs process does, slot after slot."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chain.block import FinalBlock
from chain.engine import EmbeddedEngine
from chain.genesis import Genesis
from chain.keys import ChainId, SigningKey
from chain.store import LedgerStore
from chain.transactions import AnchorBody, sign_transaction
from gateway.founding import found
from gateway.key_files import delegate_key_paths, read_key
from gateway.settings import Settings, load_settings

DELEGATES = 4
_STARTED_AT = 1_700_000_000
_VALID_UNTIL = 1_000_000  # height


@dataclass(slots=True)
class ChainHome:
    """`slot` is the last one used, `source` the last row of an outbox that is only imagined."""

    settings: Settings
    genesis: Genesis
    store: LedgerStore
    engine: EmbeddedEngine
    key: SigningKey
    slot: int = 0
    source: int = 0

    def signed(self, bodies: Sequence[AnchorBody]) -> list[bytes]:
        return [sign_transaction(body, _VALID_UNTIL, self.key, ChainId(self.genesis.chain_id)).raw for body in bodies]

    def block(self, transactions: Sequence[bytes]) -> FinalBlock | None:
        """Submit them and have the next slot's delegate produce: the block that became final."""
        self.engine.submit_all([(raw, self.source + number) for number, raw in enumerate(transactions, 1)])
        self.source += len(transactions)
        self.slot += 1
        return self.engine.produce(self.genesis.slot_time(self.slot))


@contextmanager
def chain_home(folder: Path, bucket_url: str | None = None) -> Iterator[ChainHome]:
    """A new gateway's home below `folder`, with its engine open; its bucket is below `folder`, too, unless one is given."""
    home = folder / "chain-home"
    genesis = found(home, delegates=DELEGATES, slot_seconds=1, chosen={"bucket_url": bucket_url}, now=_STARTED_AT, random=os.urandom)
    settings = load_settings(home, {})
    store = LedgerStore.open(settings.effective_ledger_url, genesis)
    keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
    engine = EmbeddedEngine.open(store, genesis, keys)
    try:
        yield ChainHome(settings, genesis, store, engine, read_key(settings.keys_path / "gateway.json"))
    finally:
        engine.close()
        store.close()


def random_anchors(count: int) -> list[AnchorBody]:
    """ANCHORs of containers that do not exist: the chain cannot tell."""
    return [AnchorBody(os.urandom(32), 60_000, os.urandom(32), 1, 400) for _ in range(count)]
