"""Grants, revokes and batches of two gateways in any order, against a model of a few dictionaries: what the rules admit, and what stays."""

from chain_case import GATEWAY, GATEWAY_ID, GENESIS, MemoryChain, batch, grant, key, party, revoke
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chain.entries import AccessBatchEntry, GrantEntry, SequenceEntry, access_batch_key, grant_key, sequence_key
from chain.refusal import Reason, TransactionRefused
from chain.transactions import Role, sign_transaction

SIGNERS = {GATEWAY_ID: GATEWAY, "gateway-00000001": key("second")}
SECOND = party(client_id="gateway-00000001", name="Second", role=Role.GATEWAY, signing="second", attestation=None)
NUMBERS = st.integers(1, 5)
STEPS = st.integers(-2, 3)  # from the last number: mostly onwards
ASTRAY = st.integers(0, 4).map(lambda number: number == 4)  # whether it was signed for another gateway
ELSEWHERE = "gateway-00000002"
GATEWAYS = st.sampled_from(sorted(SIGNERS))


class Consents(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.chain = MemoryChain()
        self.blocks, self.current = [], []
        self.grants = {}  # number -> [gateway, log index, sequence, revoked]
        self.batches = {gateway: [] for gateway in SIGNERS}  # (log index, first, last)
        self.last = dict.fromkeys(SIGNERS, 0)

    @initialize()
    def a_second_gateway(self):
        assert self.outcome(SECOND, GATEWAY_ID) is None

    def outcome(self, body, gateway):
        """Why it was refused; none if it was recorded."""
        raw = sign_transaction(body, 1000, SIGNERS[gateway], GENESIS.chain_id).raw
        try:
            self.chain.record(raw)
        except TransactionRefused as refusal:
            return refusal.reason
        self.current.append(raw)
        return None

    @rule(number=NUMBERS, step=STEPS, gateway=GATEWAYS, astray=ASTRAY)
    def grant(self, number, step, gateway, astray):
        sequence = max(1, self.last[gateway] + step)
        due = None
        if number in self.grants:
            due = Reason.DUPLICATE
        elif sequence <= self.last[gateway]:
            due = Reason.SEQUENCE_PASSED
        elif astray:
            due = Reason.CONSENT_SIGNATURE_INVALID
        index = self.chain.log_index
        assert self.outcome(grant(number, sequence, ELSEWHERE if astray else gateway), gateway) == due
        if due is None:
            self.grants[number] = [gateway, index, sequence, None]
            self.last[gateway] = sequence

    @rule(number=NUMBERS, step=STEPS, gateway=GATEWAYS, astray=ASTRAY)
    def revoke(self, number, step, gateway, astray):
        sequence = max(1, self.last[gateway] + step)
        due = None
        if number not in self.grants:
            due = Reason.GRANT_UNKNOWN
        elif self.grants[number][3] is not None:
            due = Reason.GRANT_REVOKED
        elif self.grants[number][0] != gateway:
            due = Reason.GRANT_OF_ANOTHER_GATEWAY
        elif sequence <= self.last[gateway]:
            due = Reason.SEQUENCE_PASSED
        elif astray:
            due = Reason.CONSENT_SIGNATURE_INVALID
        index = self.chain.log_index
        assert self.outcome(revoke(number, sequence, ELSEWHERE if astray else gateway), gateway) == due
        if due is None:
            self.grants[number][3] = (index, sequence)
            self.last[gateway] = sequence

    @rule(step=STEPS, width=st.integers(0, 3), gateway=GATEWAYS)
    def batch(self, step, width, gateway):
        first = max(1, self.last[gateway] + step)
        due = Reason.SEQUENCE_PASSED if first <= self.last[gateway] else None
        index = self.chain.log_index
        assert self.outcome(batch(first, first + width), gateway) == due
        if due is None:
            self.batches[gateway].append((index, first, first + width))
            self.last[gateway] = first + width

    @rule()
    def end_block(self):
        self.chain.end_block()
        self.blocks.append((self.current, self.chain.state.root()))
        self.current = []

    @invariant()
    def the_state_is_the_models(self):
        get = self.chain.execution.overlay.get
        for number in range(1, 6):
            value = get(grant_key(key(f"grant {number}").public))
            entry = None if value is None else GrantEntry.from_value(value)
            due = self.grants.get(number)
            assert (entry and [entry.gateway, entry.log_index, entry.sequence, entry.revoked]) == due
            assert entry is None or entry.commitment == grant(number, 1).commitment
        for gateway, batches in self.batches.items():
            stored = [get(access_batch_key(gateway, place)) for place in range(len(batches) + 1)]
            assert [AccessBatchEntry.from_value(value)[:3] for value in stored[:-1]] == batches
            assert stored[-1] is None
            value = get(sequence_key(gateway))
            assert (SequenceEntry() if value is None else SequenceEntry.from_value(value)) == (self.last[gateway], len(batches))

    @invariant()
    def no_number_counts_twice(self):
        for gateway in SIGNERS:
            numbers = [number for _, first, last in self.batches[gateway] for number in range(first, last + 1)]
            for owner, _, sequence, revoked in self.grants.values():
                if owner == gateway:
                    numbers += [sequence] if revoked is None else [sequence, revoked[1]]
            assert len(set(numbers)) == len(numbers)

    def teardown(self):
        """What was recorded, executed again from the genesis, gives the same roots."""
        again = MemoryChain()
        for transactions, root in self.blocks:
            for raw in transactions:
                again.record(raw)
            again.end_block()
            assert again.state.root() == root
        assert again.log == self.chain.log


TestConsents = Consents.TestCase
TestConsents.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
