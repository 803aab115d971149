"""What the flows run on: opened once in each process by the composition root, given to every flow as its first argument."""

from collections.abc import Callable
from dataclasses import dataclass, field

from chain.keys import ChainId
from chain.ledger import Ledger
from gateway.anchored import AnchoredBundles
from gateway.group_commit import GroupCommit
from gateway.index.database import Index
from gateway.index.parties import Parties
from gateway.index.row_numbers import RowNumbers
from gateway.index.tokens import BlindTokens
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.storage.port import ObjectStore
from gateway.vault.keyring import Keyring
from gateway.vault.primitives import Random
from gateway.vault.record_id import RecordIds


@dataclass(frozen=True, slots=True)
class Services:
    """Handles, keys and the two things that are never the same twice. Keys are raw bytes; only this object holds them in clear."""

    settings: Settings  # for addresses and limits; no flow opens anything by it
    chain_id: ChainId
    gateway: str  # this gateway's client id on the chain
    index: Index
    store: ObjectStore
    parties: Parties
    keyring: Keyring
    ids: RecordIds  # row numbers <-> gateway ids
    index_key: bytes = field(repr=False)  # 32 bytes: blind tokens of sources, identifiers, contents
    token_key: bytes = field(repr=False)  # 32 bytes: access tokens
    clock: Callable[[], float]  # seconds since the epoch
    random: Random
    ledger: Ledger | None = None  # to read what is final; None where a flow runs without a chain
    metrics: Metrics = field(default_factory=Metrics)
    tokens: BlindTokens = field(init=False)
    row_numbers: RowNumbers = field(init=False)  # of resources
    anchored: AnchoredBundles = field(init=False)
    group_commit: GroupCommit = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", BlindTokens(self.index_key))
        object.__setattr__(self, "row_numbers", RowNumbers(self.index))
        object.__setattr__(self, "anchored", AnchoredBundles(self.index, self.store, self.keyring, self.ids, self.ledger))
        object.__setattr__(self, "group_commit", GroupCommit(self.index, self.store, self.metrics, self.clock))
