"""Exceptions to a grant on every small world: no deny ever widens, the deepest decides, denying wins a tie, what is not known is denied."""

import dataclasses
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from gateway.consent.decision import AccessRequest, Grant, decide
from gateway.consent.provision import Provision, RecordFacts

NOW = 50
CODES = (("urn:s", "a"), ("urn:s", "b"))
PERIODS = ((None, 10), (5, 15), (11, None))

criteria = st.fixed_dictionaries(
    {},
    optional={
        "types": st.sampled_from([frozenset({"Observation"}), frozenset({"Condition"}), frozenset({"Observation", "Condition"})]),
        "purposes": st.sampled_from([frozenset({"TREAT"}), frozenset({"HPAYMT"})]),
        "rights": st.sampled_from([frozenset({"read"}), frozenset({"write"})]),
        "codes": st.frozensets(st.sampled_from(CODES), min_size=1),
        "labels": st.frozensets(st.sampled_from(CODES), min_size=1),
        "records": st.sampled_from([frozenset({"Observation/1"}), frozenset({"Observation/2"})]),
        "period": st.sampled_from([(None, 60), (60, None), (None, 40)]),
        "data_period": st.sampled_from(PERIODS),
    },
)


def provisions(depth=0, permits=False):
    nested = provisions(depth + 1, not permits) if depth < 2 else st.just(())
    one = st.builds(lambda said, inner: Provision(permits=permits, exceptions=inner, **said), criteria, nested)
    return st.lists(one, max_size=3 - depth).map(tuple)


facts = st.builds(
    RecordFacts,
    reference=st.sampled_from(("Observation/1", "Observation/3")),
    codes=st.frozensets(st.sampled_from([*CODES, (None, "a")])),
    labels=st.frozensets(st.sampled_from(CODES)),
    period=st.sampled_from([(None, None), (1, 2), (8, 12), (12, 12), (12, None), (None, 3)]),
)
requests = st.builds(
    AccessRequest,
    client_id=st.just("insurer"),
    role=st.just("agency"),
    purpose=st.sampled_from(("TREAT", "HPAYMT")),
    action=st.sampled_from(("read", "write")),
    resource_type=st.sampled_from(("Observation", "Condition")),
    archive=st.just(1),
    facts=st.none() | facts,
)


def grant(exceptions=()):
    sets = (frozenset(names) for names in (("Observation", "Condition"), ("TREAT", "HPAYMT"), ("read", "write")))
    return Grant(b"g", 1, 1, "insurer", *sets, 0, 100, 1, exceptions=exceptions)


def permitted(request, exceptions):
    return decide(request, [grant(exceptions)], NOW).permitted


def places_of_denials(exceptions):
    """Each way to put one more denial, which has no exception itself, where one can stand: the exceptions with a hole for it."""
    yield lambda denial: (*exceptions, denial)
    for at, outer in enumerate(exceptions):
        for number, inner in enumerate(outer.exceptions):
            for put in places_of_denials(inner.exceptions):

                def with_it(denial, at=at, outer=outer, number=number, inner=inner, put=put):
                    changed = dataclasses.replace(inner, exceptions=put(denial))
                    around = (*outer.exceptions[:number], changed, *outer.exceptions[number + 1 :])
                    return (*exceptions[:at], dataclasses.replace(outer, exceptions=around), *exceptions[at + 1 :])

                yield with_it


@given(requests, provisions(), criteria)
def test_one_more_denial_never_widens(request, exceptions, said):
    for put in places_of_denials(exceptions):
        assert not permitted(request, put(Provision(permits=False, **said))) or permitted(request, exceptions)


@given(requests, provisions())
def test_exceptions_never_widen_the_grant(request, exceptions):
    assert permitted(request, ())
    other = dataclasses.replace(request, purpose="HMARKT")
    assert not permitted(other, exceptions)


def applies(one, request, known):
    """In other words, and for a record of which all is known: codes with their systems, one instant."""
    return all(
        (
            not one.types or request.resource_type in one.types,
            not one.purposes or request.purpose in one.purposes,
            not one.rights or request.action in one.rights,
            not one.codes or bool(one.codes & known.codes),
            not one.labels or bool(one.labels & known.labels),
            not one.records or known.reference in one.records,
            one.period is None or (one.period[0] or 0) <= NOW <= (one.period[1] or 99),
            one.data_period is None or (one.data_period[0] or 0) <= known.period[0] <= (one.data_period[1] or 99),
        )
    )


def deciding(exceptions, request, known, depth=1):
    for one in exceptions:
        if applies(one, request, known):
            yield depth, one.permits
            yield from deciding(one.exceptions, request, known, depth + 1)


known_facts = st.builds(
    RecordFacts,
    reference=st.sampled_from(("Observation/1", "Observation/3")),
    codes=st.frozensets(st.sampled_from(CODES)),
    labels=st.frozensets(st.sampled_from(CODES)),
    period=st.sampled_from([(1, 1), (8, 8), (12, 12)]),
)


@given(requests, provisions(), known_facts)
def test_the_deepest_decides_and_denying_wins_a_tie(request, exceptions, known):
    found = list(deciding(exceptions, request, known))
    deepest = max((depth for depth, _ in found), default=0)
    expected = all(permits for depth, permits in found if depth == deepest)
    assert permitted(dataclasses.replace(request, facts=known), exceptions) == expected


@given(requests, provisions())
def test_what_is_not_known_is_permitted_only_where_every_content_would_be(request, exceptions):
    unknown = dataclasses.replace(request, facts=None)
    contents = [
        RecordFacts(reference, frozenset(codes), frozenset(labels), (at, at))
        for reference, codes, labels, at in product(
            ("Observation/1", "Observation/2", "Observation/3"), ((), CODES), ((), CODES), (1, 7, 12)
        )
    ]
    answers = {permitted(dataclasses.replace(request, facts=content), exceptions) for content in contents}
    if permitted(unknown, exceptions):
        assert answers == {True}
    preliminary = decide(dataclasses.replace(unknown, preliminary=True), [grant(exceptions)], NOW)
    assert preliminary.permitted or answers == {False}
    assert not preliminary.settled or not preliminary.permitted or answers == {True}


@given(provisions())
def test_they_are_read_back_as_they_were_written(exceptions):
    assert tuple(Provision.from_map(one.to_map()) for one in exceptions) == exceptions


def test_a_decision_says_in_one_word_why():
    request = AccessRequest(client_id="insurer", role="agency", purpose="TREAT", action="read", resource_type="Observation", archive=1)
    withheld = (Provision(permits=False, types=frozenset({"Observation"})),)
    assert decide(request, [grant(withheld)], NOW).code == "excepted"
    assert decide(request, [], NOW).code == "not-granted"
    assert decide(request, [grant()], NOW).code == "granted"
    assert decide(request, [grant(withheld), grant()], NOW).code == "granted", "an exception takes away from its own grant alone"


def test_an_undated_record_and_one_across_the_end_are_withheld_with_the_rest():
    request = AccessRequest(client_id="insurer", role="agency", purpose="TREAT", action="read", resource_type="Observation", archive=1)
    before = (Provision(permits=False, data_period=(None, 9)),)
    for period, expected in (((None, None), False), ((5, 12), False), ((None, 12), False), ((10, None), True), ((10, 10), True)):
        told = RecordFacts("Observation/1", frozenset(), frozenset(), period)
        assert permitted(dataclasses.replace(request, facts=told), before) is expected, period
