"""A state machine that refuses nothing, for chains whose quorum breaks the rules."""

from chain_case import GATEWAY, GATEWAY_ID, GENESIS

from chain.execution import Execution, Recorded
from chain.refusal import Envelope
from chain.rules import apply_body
from chain.state_machine import StateMachine


class Lenient(Execution):
    """Records whatever is well formed."""

    def record(self, parsed):
        envelope = Envelope(GENESIS.chain_id, parsed.tx_id, GATEWAY.public, GATEWAY_ID)
        apply_body(self.overlay, parsed.transaction.body, envelope, self._start.size + len(self.recorded))
        self.recorded.append(Recorded(parsed.tx_id, parsed.leaf_hash, None))


class LenientMachine(StateMachine):
    def execution(self, tip, state):
        return Lenient(GENESIS.chain_id, tip.height + 1, tip.log, state)
