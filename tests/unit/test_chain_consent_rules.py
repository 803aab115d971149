"""Grants, revokes and access batches against the state: whose they are, once, and in one order a gateway."""

import pytest
from chain_case import GATEWAY, GATEWAY_ID, GENESIS, anchor, batch, genesis_state, grant, key, party, revoke
from msgspec.structs import replace

from chain.audit_report import AuditReportBody
from chain.entries import (
    AccessBatchEntry,
    AuditReportEntry,
    GrantEntry,
    Revocation,
    SequenceEntry,
    access_batch_key,
    audit_report_key,
    grant_key,
    sequence_key,
)
from chain.execution import Execution
from chain.log import LogHead
from chain.refusal import Reason, TransactionRefused
from chain.transactions import PartyAction, Role, sign_transaction

OTHER_ID = "gateway-00000001"
OTHER = key("second")
OTHER_GATEWAY = party(client_id=OTHER_ID, name="Second", role=Role.GATEWAY, signing="second", attestation=None)


@pytest.fixture
def execution():
    return Execution(GENESIS.chain_id, 7, LogHead(), genesis_state())


def do(execution, *bodies, signer=GATEWAY):
    for body in bodies:
        raw = sign_transaction(body, 7, signer, GENESIS.chain_id).raw
        execution.record(execution.read([raw])[0])


def refused(execution, body, **how):
    root, recorded = execution.overlay.root(), len(execution.recorded)
    with pytest.raises(TransactionRefused) as refusal:
        do(execution, body, **how)
    assert (execution.overlay.root(), len(execution.recorded)) == (root, recorded), "a refused transaction changed something"
    return refusal.value.reason


def granted(execution, number):
    value = execution.overlay.get(grant_key(key(f"grant {number}").public))
    return None if value is None else GrantEntry.from_value(value)


def sequence(execution, gateway=GATEWAY_ID):
    value = execution.overlay.get(sequence_key(gateway))
    return None if value is None else SequenceEntry.from_value(value)


def test_the_state_keeps_what_a_grant_was_and_when_it_ended(execution):
    do(execution, anchor(1), grant(1, 5))
    given = GrantEntry(1, grant(1, 5).commitment, GATEWAY_ID, 5, None)
    assert granted(execution, 1) == given
    do(execution, grant(2, 6), revoke(1, 9))
    assert granted(execution, 1) == given._replace(revoked=Revocation(3, 9))
    assert granted(execution, 2).revoked is None
    assert sequence(execution) == SequenceEntry(9, 0)


def test_in_force_is_between_the_numbers_of_grant_and_revoke():
    given = GrantEntry(0, bytes(32), GATEWAY_ID, 5, None)
    assert [number for number in range(12) if given.is_in_force_at(number)] == list(range(6, 12))
    ended = given._replace(revoked=Revocation(1, 9))
    assert [number for number in range(12) if ended.is_in_force_at(number)] == [6, 7, 8]


def test_an_audit_report_is_recorded_once(execution):
    report = AuditReportBody(bytes(range(32)), 1_800_000_000, 1)
    do(execution, anchor(1), report)
    assert AuditReportEntry.from_value(execution.overlay.get(audit_report_key(report.digest))) == AuditReportEntry(1, GATEWAY_ID, 1)
    assert refused(execution, report) is Reason.DUPLICATE
    assert refused(execution, replace(report, exit_code=0)) is Reason.DUPLICATE


def test_a_grant_comes_once_for_ever(execution):
    do(execution, grant(1, 1))
    assert refused(execution, grant(1, 1)) is Reason.DUPLICATE
    assert refused(execution, grant(1, 2)) is Reason.DUPLICATE
    do(execution, revoke(1, 3))
    assert refused(execution, grant(1, 4)) is Reason.DUPLICATE


def test_a_revoke_comes_once_and_after_its_grant(execution):
    assert refused(execution, revoke(1, 1)) is Reason.GRANT_UNKNOWN
    do(execution, grant(1, 1), revoke(1, 2))
    assert refused(execution, revoke(1, 2)) is Reason.GRANT_REVOKED
    assert refused(execution, revoke(1, 3)) is Reason.GRANT_REVOKED


@pytest.mark.parametrize("change", [{"commitment": bytes(32)}, {"signature": bytes(64)}, {"signature": revoke(1, 2).signature}])
def test_a_grant_needs_its_own_keys_signature(execution, change):
    assert refused(execution, replace(grant(1, 2), **change)) is Reason.CONSENT_SIGNATURE_INVALID


@pytest.mark.parametrize("signature", [bytes(64), grant(1, 1).signature, revoke(2, 2).signature, revoke(1, 2, gateway=OTHER_ID).signature])
def test_a_revoke_needs_its_grants_key(execution, signature):
    do(execution, grant(1, 1))
    assert refused(execution, replace(revoke(1, 2), signature=signature)) is Reason.CONSENT_SIGNATURE_INVALID
    do(execution, revoke(1, 2))


@pytest.mark.parametrize("body", [grant(1, 1), batch(1, 1)])
def test_who_is_no_gateway_records_nothing(execution, body):
    one_time = key("grant 1")
    assert refused(execution, body, signer=one_time) is Reason.SIGNER_NOT_A_GATEWAY
    assert refused(execution, body, signer=OTHER) is Reason.SIGNER_NOT_A_GATEWAY


def test_a_grant_is_recorded_by_the_gateway_it_was_given_at(execution):
    """Another gateway that saw it pass cannot put it into its own sequence."""
    do(execution, OTHER_GATEWAY)
    assert refused(execution, grant(1, 1), signer=OTHER) is Reason.CONSENT_SIGNATURE_INVALID
    do(execution, grant(1, 1))
    assert refused(execution, revoke(1, 2), signer=OTHER) is Reason.GRANT_OF_ANOTHER_GATEWAY
    assert refused(execution, revoke(1, 2, gateway=OTHER_ID), signer=OTHER) is Reason.GRANT_OF_ANOTHER_GATEWAY
    do(execution, revoke(1, 2))


LATER = {
    "grant": lambda number: grant(2, number),
    "revoke": lambda number: revoke(9, number),
    "batch": lambda number: batch(number, number + 3),
}
RECORDED = {"grant": grant(1, 20), "revoke": revoke(8, 20), "batch": batch(11, 20), "batch with gaps": batch(11, 20, leaves=2)}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_no_number_comes_after_a_higher_one_of_whatever_kind(execution, recorded, later):
    do(execution, grant(8, 1), grant(9, 2), recorded)
    for number in (1, 10, 15, 19, 20):
        assert refused(execution, later(number)) is Reason.SEQUENCE_PASSED
    do(execution, later(21))


def test_numbers_may_be_left_out(execution):
    do(execution, grant(1, 3), batch(10, 12), revoke(1, 1000), batch((1 << 63) - 2, (1 << 63) - 1))
    assert sequence(execution) == SequenceEntry((1 << 63) - 1, 2)


def test_each_gateway_counts_for_itself(execution):
    do(execution, OTHER_GATEWAY, grant(1, 100))
    do(execution, grant(2, 1, gateway=OTHER_ID), batch(2, 2), signer=OTHER)
    do(execution, batch(101, 104))
    assert (sequence(execution), sequence(execution, OTHER_ID)) == (SequenceEntry(104, 1), SequenceEntry(2, 1))
    entries = [execution.overlay.get(access_batch_key(gateway, 0)) for gateway in (GATEWAY_ID, OTHER_ID)]
    assert [AccessBatchEntry.from_value(entry).first for entry in entries] == [101, 2]
    assert sequence(execution, "gateway-00000002") is None


def test_a_gateway_keeps_its_sequence_when_its_key_rotates(execution):
    do(execution, OTHER_GATEWAY)
    do(execution, grant(1, 5, gateway=OTHER_ID), signer=OTHER)
    rotated = party(PartyAction.ROTATE, OTHER_ID, name="Second", role=Role.GATEWAY, signing="third", attestation=None)
    do(execution, rotated)
    assert refused(execution, batch(5, 5), signer=key("third")) is Reason.SEQUENCE_PASSED
    do(execution, revoke(1, 6, gateway=OTHER_ID), signer=key("third"))
    assert granted(execution, 1).revoked == Revocation(3, 6)


def test_batches_are_kept_in_their_places(execution):
    do(execution, batch(1, 4), grant(1, 5), batch(6, 9, leaves=3))
    entries = [execution.overlay.get(access_batch_key(GATEWAY_ID, place)) for place in range(3)]
    assert AccessBatchEntry.from_value(entries[0]) == AccessBatchEntry(0, 1, 4, 4, batch(1, 4).root)
    assert AccessBatchEntry.from_value(entries[1]) == AccessBatchEntry(2, 6, 9, 3, batch(6, 9).root)
    assert entries[2] is None
    assert sequence(execution) == SequenceEntry(9, 2)
