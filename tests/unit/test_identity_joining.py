"""Whether two archives are one person's: the pure decision, case by case."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.dummy import is_dummy
from gateway.identity.joining import MAX_GROUP, Traits, decide_join, read_person

BORN, OTHER_BORN = b"1950|male", b"1951|male"


def person(*identifiers, birth=BORN, dummies=()):
    return Traits(birth, frozenset(identifiers), frozenset(dummies))


ONE = {1: person(b"x")}
# others, kept apart -> (archives joined with, lines) for archive 9, which has identifier x
CASES = {
    "agrees": ([ONE], (), (ONE, [])),
    "other birth date": ([{1: person(b"x", birth=OTHER_BORN)}], (), (None, [(1, "birth-differs")])),
    "no birth date or sex": ([{1: person(b"x", birth=None)}], (), (None, [(1, "birth-missing")])),
    "nothing kept of it": ([{1: None}], (), (None, [(1, "birth-missing")])),
    "another identifier, whatever the index says": ([{1: person(b"y")}], (), (None, [])),
    "two groups": ([ONE, {2: person(b"x")}], (), (None, [(1, "several-matches"), (2, "several-matches")])),
    "one of a group differs": ([ONE | {2: person(b"y", birth=OTHER_BORN)}], (), (None, [(1, "birth-differs")])),
    "one of a group is unknown": ([ONE | {2: None}], (), (None, [(1, "birth-missing")])),
    "a group of two": ([ONE | {2: person(b"y")}], (), (ONE | {2: person(b"y")}, [])),
    "kept apart": ([ONE], [{1, 9}], (None, [(1, "kept-apart")])),
    "kept apart from another of the group": ([ONE | {2: person(b"y")}], [{2, 9}], (None, [(1, "kept-apart")])),
    "others kept apart": ([ONE], [{1, 2}], (ONE, [])),
}


@pytest.mark.parametrize("case", CASES)
def test_joined_only_where_all_agree(case):
    others, apart, (join, lines) = CASES[case]
    found = decide_join(9, {9: person(b"x")}, others, {frozenset(pair) for pair in apart})
    assert (found.join, [(line.other, line.reason) for line in found.lines]) == (join, lines)


def test_the_only_one_looked_at_is_not_joined_where_there_are_more():
    found = decide_join(9, {9: person(b"x")}, [ONE], (), are_more=True)
    assert (found.join, [(line.other, line.reason) for line in found.lines]) == (None, [(1, "several-matches")])


def test_who_signs_in_reads_no_more_by_another_institutions_word():
    found = decide_join(9, {9: person(b"x")}, [ONE], (), signs_in=True)
    assert (found.join, [(line.other, line.reason) for line in found.lines]) == (None, [(1, "signs-in")])


def test_a_full_group_takes_nobody():
    group = {number: person(b"x") for number in range(1, MAX_GROUP + 1)}
    found = decide_join(99, {99: person(b"x")}, [group], ())
    assert (found.join, [(line.other, line.reason) for line in found.lines]) == (None, [(1, "group-full")])
    del group[1]
    assert decide_join(99, {99: person(b"x")}, [group], ()).join == group


def test_a_shared_dummy_joins_nothing_and_is_one_line():
    others = [{n: person(dummies=[b"0"])} for n in (1, 2, 3)]
    found = decide_join(9, {9: person(dummies=[b"0"])}, others, ())
    assert (found.join, [(line.other, line.reason) for line in found.lines]) == (None, [(1, "known-dummy")])


@pytest.mark.parametrize("now", [person(b"x", birth=OTHER_BORN), person(b"x", birth=None), person(b"y"), person(), None])
def test_a_join_whose_ground_is_gone_is_named_and_stays(now):
    found = decide_join(9, {1: person(b"x"), 9: now}, [], ())
    assert (found.join, [(line.other, line.reason) for line in found.lines]) == (None, [(1, "ground-gone")])
    assert decide_join(9, {1: person(b"x"), 9: person(b"x", b"y")}, [], ()).lines == ()


traits = st.none() | st.builds(
    Traits, st.sampled_from([None, BORN, OTHER_BORN]), st.frozensets(st.sampled_from([b"x", b"y", b"z"])), st.just(frozenset())
)


@given(st.lists(st.lists(traits, min_size=1, max_size=3), max_size=3), st.lists(traits, min_size=1, max_size=3))
def test_whatever_is_joined_agrees_throughout(others, own):
    numbers = itertools.count(1)
    own_group = {next(numbers): one for one in own}
    groups = [{next(numbers): one for one in group} for group in others]
    found = decide_join(1, own_group, groups, ())
    if found.join is not None:
        everyone = [*own_group.values(), *found.join.values()]
        assert len({one.birth for one in everyone}) == 1
        assert None not in {one.birth for one in everyone}
        assert any(own_group[1].identifiers & one.identifiers for one in found.join.values())


@pytest.mark.parametrize(
    "value",
    [
        *("", "0", "000000000", "999999999", "11111", "123456789", "12345678901", "987654321", "000-00-0000", "123-45-6789", "unknown"),
        *("UNKNOWN ", "none", "n/a", "Test", "test-0001", "not known", "77", "a1", "xxxxxx", "0001"),
    ],
)
def test_dummies(value):
    assert is_dummy(value)


@pytest.mark.parametrize("value", ["4471", "DEMO-4471", "01015012345", "999-11-2222", "test-patient-of-oslo-4471", "K20-55", "Nonesuch-7"])
def test_no_dummies(value):
    assert not is_dummy(value)


def test_what_a_patient_says_of_who_it_is():
    named = b'{"system":"urn:a","value":"4471"},{"system":"urn:a","value":"0000"},{"system":"urn:b","value":"55"}'
    past = b'{"system":"urn:a","value":"8888-7","use":"old"},{"system":"urn:a"}'
    body = b'{"resourceType":"Patient","gender":"female","birthDate":"1950-02-01","identifier":[' + named + b"," + past + b"]}"
    assert read_person(body, {"urn:a"}) == ("1950-02-01|female", {("urn:a", "4471")}, {("urn:a", "0000")})
    for given_birth, sex in (("1950", "female"), ("1950-02-01", "unknown")):
        changed = body.replace(b"1950-02-01", given_birth.encode()).replace(b"female", sex.encode())
        assert read_person(changed, {"urn:a"})[0] is None
