"""What the state admits, kind by kind and reason by reason."""

import pytest
from chain_case import GATEWAY, GENESIS, anchor, genesis_state, key, party

from chain.execution import Execution
from chain.log import LogHead
from chain.refusal import Reason, TransactionRefused
from chain.transactions import PartyAction, Role, sign_transaction

REGISTER, ROTATE, SUSPEND = PartyAction.REGISTER, PartyAction.ROTATE, PartyAction.SUSPEND
SECOND_GATEWAY = party(REGISTER, "gateway-00000001", name="Second", role=Role.GATEWAY, signing="second", attestation=None)


@pytest.fixture
def execution():
    return Execution(GENESIS.chain_id, 7, LogHead(), genesis_state())


def do(execution, body, signer=GATEWAY, valid_until=7):
    raw = sign_transaction(body, valid_until, signer, GENESIS.chain_id).raw
    execution.record(execution.read([raw])[0])


def refused(execution, body, **how):
    root, recorded = execution.overlay.root(), len(execution.recorded)
    with pytest.raises(TransactionRefused) as refusal:
        do(execution, body, **how)
    assert (execution.overlay.root(), len(execution.recorded)) == (root, recorded), "a refused transaction changed something"
    return refusal.value.reason


def test_an_anchor_is_recorded_once_for_ever(execution):
    do(execution, anchor(1))
    assert refused(execution, anchor(1)) is Reason.DUPLICATE
    assert refused(execution, anchor(1), valid_until=8) is Reason.DUPLICATE
    assert refused(execution, anchor(1, leaves=6)) is Reason.DUPLICATE
    do(execution, anchor(2))


def test_a_transaction_is_valid_until_its_height(execution):
    assert refused(execution, anchor(1), valid_until=6) is Reason.EXPIRED
    do(execution, anchor(1), valid_until=7)


def test_only_a_gateway_signs(execution):
    assert refused(execution, anchor(1), signer=key("stranger")) is Reason.SIGNER_NOT_A_GATEWAY
    do(execution, party(signing="hospital"))
    assert refused(execution, anchor(1), signer=key("hospital")) is Reason.SIGNER_NOT_A_GATEWAY
    assert refused(execution, anchor(1), signer=key("attest")) is Reason.SIGNER_NOT_A_GATEWAY
    do(execution, SECOND_GATEWAY)
    do(execution, anchor(1), signer=key("second"))


def test_a_gateway_signs_with_the_key_it_has_now(execution):
    do(execution, SECOND_GATEWAY)
    do(execution, anchor(1), signer=key("second"))
    rotated = party(ROTATE, "gateway-00000001", name="Second", role=Role.GATEWAY, signing="third", attestation=None)
    do(execution, rotated)
    assert refused(execution, anchor(2), signer=key("second")) is Reason.SIGNER_NOT_A_GATEWAY
    do(execution, anchor(2), signer=key("third"))
    do(execution, party(SUSPEND, "gateway-00000001", name="Second", role=Role.GATEWAY))
    assert refused(execution, anchor(3), signer=key("third")) is Reason.SIGNER_NOT_A_GATEWAY


def test_a_broken_signature(execution):
    raw = sign_transaction(anchor(1), 7, GATEWAY, GENESIS.chain_id).raw
    with pytest.raises(TransactionRefused, match="signature-invalid"):
        execution.record(execution.read([raw[:-1] + bytes([raw[-1] ^ 1])])[0])
    with pytest.raises(TransactionRefused, match="malformed"):
        execution.record(execution.read([b"junk"])[0])


def test_a_party_registers_once(execution):
    do(execution, party())
    assert refused(execution, party()) is Reason.DUPLICATE
    assert refused(execution, party(attestation="another")) is Reason.DUPLICATE
    assert refused(execution, party(client_id="gateway-00000000")) is Reason.DUPLICATE


@pytest.mark.parametrize("action", [ROTATE, SUSPEND])
def test_an_unknown_party_is_neither_rotated_nor_suspended(execution, action):
    assert refused(execution, party(action)) is Reason.PARTY_UNKNOWN


@pytest.mark.parametrize("change", [{"name": "Other"}, {"role": Role.AGENCY}])
@pytest.mark.parametrize("action", [ROTATE, SUSPEND])
def test_name_and_role_stay(execution, action, change):
    do(execution, party())
    assert refused(execution, party(action, **change)) is Reason.PARTY_CHANGED


def test_suspension_is_for_good(execution):
    do(execution, party())
    do(execution, party(SUSPEND))
    assert refused(execution, party(SUSPEND), valid_until=9) is Reason.PARTY_SUSPENDED
    assert refused(execution, party(ROTATE, attestation="new")) is Reason.PARTY_SUSPENDED
    assert refused(execution, party()) is Reason.DUPLICATE


def test_a_rotation_is_not_replayed(execution):
    """A to B and back to A: the first rotation, still valid, must not bring B back."""
    do(execution, party(signing="a"))
    do(execution, party(ROTATE, signing="b"))
    do(execution, party(ROTATE, signing="a"))
    assert refused(execution, party(ROTATE, signing="b")) is Reason.DUPLICATE


def test_a_signing_key_belongs_to_one_party_for_ever(execution):
    do(execution, party(signing="a"))
    do(execution, party(ROTATE, signing="b"))
    other = {"client_id": "lab-00000002", "name": "Lab"}
    for seed in ("a", "b", "gateway"):
        assert refused(execution, party(**other, signing=seed)) is Reason.KEY_TAKEN
    do(execution, party(**other, signing="c"))
