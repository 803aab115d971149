"""The decision on every small world: denied by default, monotone, independent of order, nothing outside a grant's terms."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from gateway.consent.decision import AccessRequest, Grant, decide

TYPES, PURPOSES, PARTIES, ARCHIVES = ("Observation", "Condition"), ("TREAT", "HPAYMT"), ("insurer", "study"), (1, 2, 3)
NOW = 50

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


def fitting(request, archive, sequence=1):
    """A grant that permits the request as far as this archive is concerned."""
    terms = frozenset({request.resource_type}), frozenset({request.purpose}), frozenset({request.action})
    return Grant(sequence.to_bytes(4, "big"), sequence, archive, request.client_id, *terms, NOW, NOW + 1, sequence)


def misses(request, grant):
    """The same grant with one thing wrong, for each thing."""
    return [
        dataclasses.replace(grant, **change)
        for change in (
            {"grantee": "another"},
            {"types": frozenset({"Patient"})},
            {"types": frozenset()},
            {"purposes": frozenset({"HMARKT"})},
            {"rights": frozenset({"read", "write"}) - {request.action}},
            {"archive": 9},
            {"ends_at": NOW},
            {"starts_at": NOW + 1, "ends_at": NOW + 9},
            {"revoked_at_sequence": 90},
        )
    ]


@st.composite
def cases(draw):
    """A request, and grants of which each fits it for some archive or misses it by one thing."""
    request = draw(requests)
    world = []
    for sequence in range(1, draw(st.integers(0, 6)) + 1):
        fits = fitting(request, draw(st.sampled_from(ARCHIVES)), sequence)
        world.append(draw(st.sampled_from([fits, fits, fits, *misses(request, fits)])))
    return request, draw(st.permutations(world))


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


@given(cases())
def test_permitted_exactly_as_the_table_of_permissions_says(case):
    """The table once more, in other words: for each patient concerned it is one's own archive, or there is a grant that fits at all points."""
    request, world = case
    own = request.own_archive if request.role == "patient" else None
    concerned = {request.archive, *request.also_archives}
    expected = (request.role != "patient" and request.issuer_is_requester) or all(
        archive == own or any(names(grant, request, archive) for grant in world) for archive in concerned
    )
    assert decide(request, world, NOW).permitted == expected


@given(cases())
def test_a_decision_names_what_it_rests_on(case):
    request, world = case
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


@given(cases(), st.data())
def test_fewer_grants_never_permit_more(case, data):
    request, world = case
    fewer = data.draw(st.lists(st.sampled_from(world), unique_by=id)) if world else []
    assert not decide(request, fewer, NOW).permitted or decide(request, world, NOW).permitted


@given(cases(), st.randoms())
def test_the_order_of_grants_does_not_matter(case, random):
    request, world = case
    shuffled = list(world)
    random.shuffle(shuffled)
    assert decide(request, shuffled, NOW) == decide(request, world, NOW)


@given(requests)
def test_one_thing_wrong_is_enough_to_deny(request):
    request = dataclasses.replace(request, role="agency", issuer_is_requester=False, also_archives=frozenset())
    fits = fitting(request, request.archive)
    assert decide(request, [fits], NOW).basis is fits
    later = fitting(request, request.archive, sequence=2)
    assert decide(request, [later, fits], NOW) == decide(request, [fits, later], NOW) == decide(request, [fits], NOW)
    for miss in misses(request, fits):
        assert decide(request, [miss], NOW) == decide(request, [], NOW)
        assert not decide(request, [miss], NOW).permitted


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
