"""The decision on every small world: denied by default, monotone, independent of order, nothing outside a grant's terms."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from gateway.consent.decision import AccessRequest, Grant, decide

TYPES, PURPOSES, PARTIES, ARCHIVES = ("Observation", "Condition"), ("TREAT", "HPAYMT"), ("insurer", "study"), (1, 2, 3)
NOW = 50

grants = st.builds(
    Grant,
    id=st.binary(min_size=4, max_size=4),
    row=st.integers(1, 100),
    archive=st.sampled_from(ARCHIVES),
    grantee=st.sampled_from(PARTIES),
    types=st.frozensets(st.sampled_from(TYPES)),
    purposes=st.frozensets(st.sampled_from(PURPOSES)),
    rights=st.frozensets(st.sampled_from(("read", "write"))),
    starts_at=st.sampled_from((0, NOW, NOW + 1)),
    ends_at=st.sampled_from((NOW, NOW + 1, 100)),
    sequence=st.integers(1, 8),
    revoked_at_sequence=st.none() | st.integers(9, 12),
)
requests = st.builds(
    AccessRequest,
    client_id=st.sampled_from(PARTIES),
    role=st.sampled_from(("patient", "institution", "agency")),
    own_archive=st.none() | st.sampled_from(ARCHIVES),
    purpose=st.sampled_from(PURPOSES),
    action=st.sampled_from(("read", "write")),
    resource_type=st.sampled_from(TYPES),
    archive=st.sampled_from(ARCHIVES),
    also_archives=st.frozensets(st.sampled_from(ARCHIVES), max_size=2),
    issuer_is_requester=st.booleans(),
)
worlds = st.lists(grants, max_size=8)


def names(grant, request, archive):
    return (
        grant.archive == archive
        and grant.grantee == request.client_id
        and request.resource_type in grant.types
        and request.purpose in grant.purposes
        and request.action in grant.rights
        and grant.starts_at <= NOW < grant.ends_at
        and grant.revoked_at_sequence is None
    )


@given(requests, worlds)
def test_permitted_exactly_as_the_table_of_permissions_says(request, world):
    """The table once more, in other words: for each patient concerned it is one's own archive, or there is a grant that fits at all points."""
    own = request.own_archive if request.role == "patient" else None
    concerned = {request.archive, *request.also_archives}
    expected = (request.role != "patient" and request.issuer_is_requester) or all(
        archive == own or any(names(grant, request, archive) for grant in world) for archive in concerned
    )
    assert decide(request, world, NOW).permitted == expected


@given(requests, worlds)
def test_a_decision_names_what_it_rests_on(request, world):
    decision = decide(request, world, NOW)
    assert decision.reason
    if not decision.permitted:
        assert (decision.basis, decision.grants) == (None, ())
    elif isinstance(decision.basis, Grant):
        assert decision.basis is decision.grants[0]
        assert decision.basis.archive == request.archive
    for grant in decision.grants:
        assert names(grant, request, grant.archive)
        assert grant.archive in {request.archive, *request.also_archives}


@given(requests, worlds, st.data())
def test_fewer_grants_never_permit_more(request, world, data):
    fewer = data.draw(st.lists(st.sampled_from(world), unique_by=id)) if world else []
    assert not decide(request, fewer, NOW).permitted or decide(request, world, NOW).permitted


@given(requests, worlds, st.randoms())
def test_the_order_of_grants_does_not_matter(request, world, random):
    world = list({(grant.sequence, grant.id): grant for grant in world}.values())  # a sequence number is one grant's
    shuffled = list(world)
    random.shuffle(shuffled)
    assert decide(request, shuffled, NOW) == decide(request, world, NOW)


@given(requests, worlds)
def test_nothing_is_permitted_that_no_grant_names(request, world):
    outside = [
        dataclasses.replace(grant, **change)
        for grant in world
        for change in (
            {"grantee": "another"},
            {"types": grant.types - {request.resource_type}},
            {"purposes": grant.purposes - {request.purpose}},
            {"rights": grant.rights - {request.action}},
            {"archive": 9},
            {"ends_at": NOW},
            {"starts_at": NOW + 1},
            {"revoked_at_sequence": 9},
        )
    ]
    assert decide(request, outside, NOW) == decide(request, [], NOW)


def test_the_four_answers_in_words():
    record = {"purpose": "HPAYMT", "action": "read", "resource_type": "Observation", "archive": 1}
    grant = Grant(b"g", 5, 1, "insurer", frozenset({"Observation"}), frozenset({"HPAYMT"}), frozenset({"read"}), 0, 100, 7)
    insurer = AccessRequest(client_id="insurer", role="agency", **record)
    assert decide(insurer, [], NOW).reason == "no grant in force permits it"
    assert decide(insurer, [grant], NOW).reason == "granted to insurer for HPAYMT: read of Observation (commit 7)"
    both = dataclasses.replace(insurer, also_archives=frozenset({2}))
    assert decide(both, [grant], NOW).reason == "a further patient whom it is about has not granted it"
    hospital = dataclasses.replace(insurer, client_id="hospital", role="institution", issuer_is_requester=True)
    assert decide(hospital, [], NOW).basis == "issued"
    patient = dataclasses.replace(insurer, client_id="patient-1", role="patient", own_archive=1)
    assert decide(patient, [], NOW).basis == "own"
    assert not decide(dataclasses.replace(patient, also_archives=frozenset({2})), [], NOW).permitted
