"""Exceptions to what a consent permits: its nested provisions (http://hl7.org/fhir/R4/consent-definitions.html#Consent.provision.provision).

The deepest provision that applies decides, and of two as deep the one that denies. Whether one applies may be unknown: before the record is
opened, or where it does not say. Then every answer that may be true is followed, and what one of them denies is not permitted. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Coding = tuple[str, str]  # system, code
Seconds = tuple[int | None, int | None]  # first and last second since the epoch, both included; None: open

_Outcome = tuple[int, bool]  # how deep the provision that decides lies, and whether it denies
_NOWHERE: _Outcome = (-1, False)
_SETS = ("types", "purposes", "actors", "rights", "codes", "labels", "records")  # 1 to 7 in the terms
_PERIODS = ("period", "data_period")  # 8 and 9


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """What an opened record says of itself. `period` is (None, None) where it says no time."""

    reference: str  # Type/id
    codes: frozenset[tuple[str | None, str]]  # every system and code in it
    labels: frozenset[tuple[str | None, str]]  # meta.security
    period: Seconds


@dataclass(frozen=True, slots=True)
class Circumstances:
    """One request for one record; `facts` is None as long as it is not opened, and for what has no content."""

    client_id: str
    purpose: str
    right: str
    resource_type: str
    now: float
    facts: RecordFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """It applies where all that it says applies; an empty set says nothing. It holds within the one that it is an exception to."""

    permits: bool
    types: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()  # client ids
    rights: frozenset[str] = frozenset()
    codes: frozenset[Coding] = frozenset()
    labels: frozenset[Coding] = frozenset()
    records: frozenset[str] = frozenset()  # Type/id
    period: Seconds | None = None  # of the request
    data_period: Seconds | None = None  # of the record
    exceptions: "tuple[Provision, ...]" = ()

    def to_map(self) -> dict[int, Any]:
        """For the terms: docs/design/ledger.md. What says nothing is left out."""
        told: dict[int, Any] = {0: self.permits}
        told |= {number: _sorted(getattr(self, name)) for number, name in enumerate(_SETS, 1) if getattr(self, name)}
        told |= {number: list(getattr(self, name)) for number, name in enumerate(_PERIODS, 8) if getattr(self, name)}
        return told | ({10: [one.to_map() for one in self.exceptions]} if self.exceptions else {})

    @classmethod
    def from_map(cls, told: Mapping[int, Any]) -> "Provision":
        """Of what `to_map` made; LookupError, TypeError or ValueError for what it cannot have made."""
        named: dict[str, Any] = {name: frozenset(map(_item, told.get(number, ()))) for number, name in enumerate(_SETS, 1)}
        named |= {name: _period(told[number]) for number, name in enumerate(_PERIODS, 8) if number in told}
        return cls(permits=told[0] is True, exceptions=tuple(cls.from_map(one) for one in told.get(10, ())), **named)


WITHHELD = (Provision(permits=False),)  # what a grant comes to whose exceptions cannot be read


def is_withheld(exceptions: Iterable[Provision], asked: Circumstances) -> bool | None:
    """Whether exceptions to a grant that otherwise permits what is asked deny it; None where that is not known (yet)."""
    denied = {denies for _, denies in _deepest(exceptions, asked, 1, {(0, False)})}
    return None if len(denied) > 1 else denied.pop()


def _deepest(provisions: Iterable[Provision], asked: Circumstances, depth: int, found: set[_Outcome]) -> set[_Outcome]:
    """All that may decide: what was `found` so far, unless one of `provisions` lies deeper, or as deep and denies."""
    for provision in provisions:
        outcomes = _outcomes(provision, asked, depth)
        found = {max(one, other) for one in found for other in outcomes}
    return found


def _outcomes(provision: Provision, asked: Circumstances, depth: int) -> set[_Outcome]:
    applies = _applies(provision, asked)
    if applies is False:
        return {_NOWHERE}
    found = _deepest(provision.exceptions, asked, depth + 1, {(depth, not provision.permits)})
    return found if applies else found | {_NOWHERE}


def _applies(provision: Provision, asked: Circumstances) -> bool | None:
    is_said = [
        not provision.types or asked.resource_type in provision.types,
        not provision.purposes or asked.purpose in provision.purposes,
        not provision.actors or asked.client_id in provision.actors,
        not provision.rights or asked.right in provision.rights,
        provision.period is None or _within((int(asked.now), int(asked.now)), provision.period),
    ]
    if asked.facts is None:
        asks_for_content = provision.codes or provision.labels or provision.records or provision.data_period
        is_said.append(None if asks_for_content else True)
    else:
        is_said.append(not provision.codes or _has(asked.facts.codes, provision.codes))
        is_said.append(not provision.labels or _has(asked.facts.labels, provision.labels))
        is_said.append(not provision.records or asked.facts.reference in provision.records)
        is_said.append(provision.data_period is None or _within(asked.facts.period, provision.data_period))
    return False if False in is_said else None if None in is_said else True


def _has(codings: frozenset[tuple[str | None, str]], wanted: frozenset[Coding]) -> bool | None:
    """Whether one of them is wanted; unknown where a code is, and its system is not said."""
    if wanted & codings:
        return True
    unsaid = {code for system, code in codings if system is None}
    return None if unsaid & {code for _, code in wanted} else False


def _within(found: Seconds, period: Seconds) -> bool | None:
    """Whether all of `found` lies in `period`, or nothing; unknown where it lies across an end of it, or says no time."""
    (start, end), (first, last) = found, period
    if (end is not None and first is not None and end < first) or (start is not None and last is not None and start > last):
        return False
    begins = first is None or (start is not None and start >= first)
    ends = last is None or (end is not None and end <= last)
    return True if begins and ends and found != (None, None) else None


def _sorted(items: frozenset[Any]) -> list[Any]:
    return [list(item) if isinstance(item, tuple) else item for item in sorted(items)]


def _item(item: Any) -> Any:
    return tuple(item) if isinstance(item, list) else item


def _period(told: Any) -> Seconds:
    first, last = told
    return first, last
