"""Whether two archives are one person's (docs/design/identity.md). Pure; never guessed.

A group is the archives that are joined; all say the same birth date and sex. Whatever is known of a Patient comes as blind tokens.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.identity.dummy import is_dummy

Reason = Literal[
    "birth-differs", "birth-missing", "several-matches", "group-full", "signs-in", "known-dummy", "kept-apart", "ground-gone", "split"
]
MAX_LINES = 5  # for one Patient: a value that is shared by many more is no identifier
MAX_GROUP = 64  # archives that join by themselves: what each says is opened whenever a Patient of the group is written
_SEXES = frozenset(("male", "female", "other"))
_PASSING = frozenset(("old", "temp"))
_DATE = 10  # characters of a whole date


@dataclass(frozen=True, slots=True)
class Traits:
    """What one Patient resource says of who it is. `birth` is a token of birth date and sex, None unless it gives both in full."""

    birth: bytes | None
    identifiers: frozenset[bytes]  # of shared systems
    dummies: frozenset[bytes]


Group = Mapping[int, Traits | None]  # by archive; None: no live Patient resource, or nothing is known of it


@dataclass(frozen=True, slots=True)
class Line:
    """What an operator is to look at: these two archives, and why."""

    archive: int
    other: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """`join`: the group to join with; `lines`: what stays as it is until an operator decides."""

    join: Group | None = None
    lines: tuple[Line, ...] = ()


class _Identifier(msgspec.Struct):
    system: str | None = None
    value: str | None = None
    use: str | None = None


class _Patient(msgspec.Struct):
    birthDate: str | None = None  # noqa: N815 - FHIR's name
    gender: str | None = None
    identifier: list[_Identifier] = []


def read_person(content: bytes, shared_systems: Collection[str]) -> tuple[str | None, set[tuple[str, str]], set[tuple[str, str]]]:
    """Of a valid Patient: birth date and sex in one text if it has both, (system, value) of shared systems, and dummies there."""
    patient = msgspec.json.decode(content, type=_Patient)
    birth = None
    if patient.birthDate and len(patient.birthDate) == _DATE and patient.gender in _SEXES:
        birth = f"{patient.birthDate}|{patient.gender}"
    shared = {(i.system, i.value) for i in patient.identifier if i.system in shared_systems and i.value and i.use not in _PASSING}
    known = {(system, value) for system, value in shared if system and value}
    dummies = {named for named in known if is_dummy(named[1])}
    return birth, known - dummies, dummies


def decide_join(
    archive: int,
    own: Group,
    others: Sequence[Group],
    kept_apart: Collection[frozenset[int]],
    *,
    are_more: bool = False,
    signs_in: bool = False,
) -> Outcome:
    """What becomes of `archive`, whose Patient was just written. `own` is its group, `others` those that share something with it.

    `kept_apart` are pairs of archives that an operator decided are two persons. `are_more`: more groups than `others` may share
    an identifier with it, so that none of them is the only one. `signs_in`: somebody signs in to `own`,
    and would read all of another group by the word of whoever wrote this Patient.
    """
    me = own[archive]
    lines = [] if _holds(archive, own) else [Line(archive, min(set(own) - {archive}), "ground-gone")]
    if me is None:
        return Outcome(None, tuple(lines))
    matching = [(group, met) for group in others if (met := _sharing(me.identifiers, group, "identifiers") or _unknown(group))]
    if len(matching) == 1 and not are_more:
        [(group, met)] = matching
        fault = _fault(own, group, kept_apart) or ("group-full" if len(own) + len(group) > MAX_GROUP else "signs-in" if signs_in else None)
        if fault is None:
            return Outcome(group, tuple(lines))
        lines.append(Line(archive, met[0], fault))
    lines += [Line(archive, met[0], "several-matches") for _, met in matching[:MAX_LINES] if len(matching) > 1 or are_more]
    if not matching:
        dummies = [met for group in others if (met := _sharing(me.dummies, group, "dummies"))]
        lines += [Line(archive, met[0], "known-dummy") for met in dummies[:1]]
    return Outcome(None, tuple(lines))


def _unknown(group: Group) -> list[int]:
    """The archives of `group` of which only the index says that they share something."""
    return sorted(archive for archive, traits in group.items() if traits is None)


def _sharing(tokens: frozenset[bytes], group: Group, kind: Literal["identifiers", "dummies"]) -> list[int]:
    """The archives of `group` that share one of `tokens`, the oldest first."""
    return sorted(archive for archive, traits in group.items() if traits is not None and tokens & getattr(traits, kind))


def _fault(own: Group, group: Group, kept_apart: Collection[frozenset[int]]) -> Reason | None:
    births = {None if traits is None else traits.birth for traits in (*own.values(), *group.values())}
    if None in births:
        return "birth-missing"
    if len(births) > 1:
        return "birth-differs"
    return "kept-apart" if any(frozenset((a, b)) in kept_apart for a in own for b in group) else None


def _holds(archive: int, own: Group) -> bool:
    """Whether `archive` would still be in its group if it came today."""
    rest = {member: traits for member, traits in own.items() if member != archive}
    me = own[archive]
    if not rest:
        return True
    return me is not None and _fault({archive: me}, rest, ()) is None and bool(_sharing(me.identifiers, rest, "identifiers"))
