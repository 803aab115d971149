"""A small chain on disk: four delegates, one gateway, two-second slots."""

from hashlib import sha256

import databases

from chain.consent import ConsentGrantBody, ConsentRevokeBody, commit_terms, sign_grant, sign_revoke
from chain.engine import EmbeddedEngine
from chain.execution import Execution
from chain.genesis import Delegate, Genesis, Stake, make_genesis
from chain.keys import SigningKey
from chain.ledger import Ledger
from chain.log import LogHead
from chain.stake import VoteBody, register
from chain.state import State, bucket_of
from chain.state_machine import StateMachine
from chain.store import LedgerStore
from chain.transactions import AccessBatchBody, AnchorBody, PartyAction, PartyBody, Role, sign_transaction
from chain.verify import verify_chain
from chain.watermark import create_watermark, read_marks

STARTED_AT = 1_800_000_000
SLOT_SECONDS = 2


def key(name):
    return SigningKey.from_seed(sha256(name.encode()).digest())


GATEWAY = key("gateway")
GATEWAY_ID = "gateway-00000000"
DELEGATES = tuple(key(f"delegate {number}") for number in range(4))


def party(
    action=PartyAction.REGISTER, client_id="hospital-00000001", name="Hospital", role=Role.INSTITUTION, signing=None, attestation="attest"
):
    keys = [None if seed is None or action is PartyAction.SUSPEND else key(seed).public for seed in (signing, attestation)]
    return PartyBody(action, client_id, name, role, *keys)


def anchor(number, leaves=5):
    return AnchorBody(sha256(b"container %d" % number).digest(), 1000 + number, sha256(b"root %d" % number).digest(), 1, leaves)


def grant(number, sequence, gateway=GATEWAY_ID):
    """Grant `number`, by a one-time key of its own."""
    one_time = key(f"grant {number}")
    commitment = commit_terms(GENESIS.chain_id, sha256(b"salt %d" % number).digest(), b"terms %d" % number)
    return ConsentGrantBody(one_time.public, commitment, sequence, sign_grant(one_time, GENESIS.chain_id, gateway, commitment))


def revoke(number, sequence, gateway=GATEWAY_ID):
    one_time = key(f"grant {number}")
    return ConsentRevokeBody(one_time.public, sequence, sign_revoke(one_time, GENESIS.chain_id, gateway))


def batch(first, last, leaves=None):
    root = sha256(b"accesses %d to %d" % (first, last)).digest()
    return AccessBatchBody(root, last - first + 1 if leaves is None else leaves, first, last)


def genesis_bytes(delegates=DELEGATES, epoch_blocks=4, heartbeat_slots=10, seats=0, stakes=(), slot_seconds=SLOT_SECONDS):
    return make_genesis(
        network="test",
        started_at=STARTED_AT,
        slot_seconds=slot_seconds,
        epoch_blocks=epoch_blocks,
        heartbeat_slots=heartbeat_slots,
        delegates=tuple(Delegate(f"delegate {number}", member.public) for number, member in enumerate(delegates)),
        parties=(PartyBody(PartyAction.REGISTER, GATEWAY_ID, "Gateway", Role.GATEWAY, GATEWAY.public, None),),
        seats=seats,
        stakes=tuple(Stake(f"holder {number}", holder.public, weight) for number, (holder, weight) in enumerate(stakes)),
    )


GENESIS = Genesis.parse(genesis_bytes())
HOLDERS = tuple(key(f"holder {number}") for number in range(3))
STAKES = tuple(zip(HOLDERS, (500, 300, 200), strict=True))
ELECTED = Genesis.parse(genesis_bytes(seats=7, stakes=STAKES))  # a chain that elects its delegates, in epochs of four blocks
NEW = tuple(key(f"new delegate {number}") for number in range(6))


def registration(delegate, holder=HOLDERS[0], name="New", genesis=ELECTED):
    return register(delegate, genesis.chain_id, holder.public, name)


def vote(*delegates):
    return VoteBody(tuple(sorted(delegate.public for delegate in delegates)))


def genesis_state():
    """The state before the first block, in memory."""
    entries = StateMachine(GENESIS).genesis_entries()
    return State(lambda buckets: [(key, value) for key, value in entries if bucket_of(key) in buckets], entries)


class MemoryChain:
    """Blocks executed one after the other in memory, by one delegate, unsigned."""

    def __init__(self, genesis=GENESIS):
        self.genesis = genesis
        self.entries = dict(StateMachine(genesis).genesis_entries())
        self.state = State(self._read, sorted(self.entries.items()))
        self.log, self.height = LogHead(), 0
        self._begin()

    def _read(self, buckets):
        return [(key, value) for key, value in self.entries.items() if bucket_of(key) in buckets]

    def _begin(self):
        self.height += 1
        self.execution = Execution(self.genesis.chain_id, self.height, self.log, self.state)

    @property
    def log_index(self):
        """Of the next transaction."""
        return self.log.size + len(self.execution.recorded)

    def record(self, raw):
        """Raises `TransactionRefused`."""
        self.execution.record(self.execution.read([raw])[0])

    def end_block(self):
        self.entries.update(self.execution.overlay.changes)
        self.state.commit(self.execution.overlay)
        self.log = self.execution.log()
        self._begin()


class SmallChain:
    """`produce` makes the block of the next slot; `reopen` forgets all that is not on disk, as a crash does."""

    def __init__(self, folder, genesis=GENESIS, keys=DELEGATES, store=LedgerStore, switch=None):
        self.folder, self.genesis, self.keys, self.switch = folder, genesis, keys, switch
        self.url = databases.new_ledger(folder, genesis)
        self.slot = 0
        self.engine = None
        for member in keys:
            create_watermark(self.watermark(member), genesis.chain_id, member.public)
        self.open(store)

    @classmethod
    def there(cls, folder, slot):
        """The one that is in a folder, in a file; `slot` is the last one used."""
        chain = cls.__new__(cls)
        chain.folder, chain.genesis, chain.keys, chain.switch = folder, GENESIS, DELEGATES, None
        chain.url, chain.slot, chain.engine = f"sqlite:///{folder}/ledger.db", slot, None
        chain.open()
        return chain

    def add_delegate(self, member):
        """A key that comes later; it counts from the next `reopen`."""
        create_watermark(self.watermark(member), self.genesis.chain_id, member.public)
        self.keys = (*self.keys, member)

    def watermark(self, member):
        return self.folder / f"{member.public.hex()[:8]}.watermark"

    def open(self, store=LedgerStore):
        self.store = store.open(self.url, self.genesis)
        keys = [(member, self.watermark(member)) for member in self.keys]
        self.engine = EmbeddedEngine.open(self.store, self.genesis, keys, switch=self.switch)

    def close(self):
        if self.engine:
            self.engine.close()
        self.engine = None
        self.store.close()

    def reopen(self, store=LedgerStore):
        self.close()
        self.open(store)

    def signed(self, body, valid_until=1_000_000, signer=GATEWAY):
        return sign_transaction(body, valid_until, signer, self.genesis.chain_id).raw

    def submit(self, *bodies, first_source=None, **how):
        start = self.next_source if first_source is None else first_source
        self.engine.submit_all([(self.signed(body, **how), source) for source, body in enumerate(bodies, start)])
        self.next_source = start + len(bodies)

    next_source = 1

    def now(self):
        return STARTED_AT + self.slot * SLOT_SECONDS + 0.5

    def produce(self, slots=1):
        self.slot += slots
        return self.engine.produce(self.now())

    def record(self, *bodies, **how):
        """Submits and makes one block of it."""
        self.submit(*bodies, **how)
        return self.produce()

    def ledger(self):
        return Ledger.open(self.url, self.genesis)

    def known(self):
        """What the delegates' watermarks say they have voted for."""
        marks = [read_marks(self.watermark(member), self.genesis.chain_id, member.public) for member in self.keys]
        return [mark["voted"] for mark in marks if "voted" in mark]

    def findings(self, known=()):
        return [(finding.code.value, finding.subject) for finding in verify_chain(self.store, self.genesis, known)]
