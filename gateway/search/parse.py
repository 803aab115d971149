"""What a search asks for, read from its parameters: http://hl7.org/fhir/R4/search.html. Pure.

What cannot be answered as it was meant is refused (a modifier, a chain, an order, an identifier without its system), never answered as
something else. What is merely unknown is left out and missing in the self link, as FHIR has it, or refused under `handling=strict`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from fhir_adapters.issue import InvalidInput, Issue
from fhir_adapters.period import seconds_covered

USUAL_COUNT, MOST = 20, 1000  # entries of a page
MAX_PARAMETERS, MAX_VALUES = 100, 200
MAX_TEXT = 2000  # characters of names and values: a next link, which holds them sealed, must fit in a request line

Prefix = Literal["eq", "ge", "le", "gt", "lt"]
Parameter = tuple[str, str]
_COMMA = re.compile(r"(?<!\\),")
_BAR = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\([\\,|$])")
_DATE = re.compile(r"(eq|ge|le|gt|lt)?(\d{4}(?:-\d\d(?:-\d\d(?:T\S{5,40})?)?)?)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_ELSEWHERE = frozenset({"_format"})  # read before the search, and no part of it


class Token(NamedTuple):
    """`code`, `system|code` or `|code`: `system` is None where any will do, "" where there must be none."""

    system: str | None
    code: str


class DateBound(NamedTuple):
    """First and last second of the date that was given, and how a record's own must lie to it."""

    prefix: Prefix
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Every group must hold, and of each group one value. `types` empty: all; `used` is what was understood, as it was given."""

    types: tuple[str, ...]
    count: int = USUAL_COUNT
    ids: tuple[tuple[str, ...], ...] = ()
    patients: tuple[tuple[str, ...], ...] = ()
    identifiers: tuple[tuple[Token, ...], ...] = ()
    dates: tuple[tuple[DateBound, ...], ...] = ()
    codes: tuple[tuple[Token, ...], ...] = ()
    categories: tuple[tuple[Token, ...], ...] = ()
    actors: tuple[tuple[Token, ...], ...] = ()  # of Consents
    undated_too: bool = False  # records without a time meet every date
    with_directory: bool = False  # what the records refer to of an institution's directory comes with them
    used: tuple[Parameter, ...] = ()


def parse_search(resource_type: str, given: Sequence[Parameter], *, strict: bool = False) -> Search:
    """The search for resources of one type. Raises InvalidInput (400)."""
    check_size(given)
    groups: dict[str, list[tuple[object, ...]]] = {}
    used: list[Parameter] = []
    count = USUAL_COUNT
    for name, value in given:
        plain = _plain(name)
        if plain == "_count":
            count = parse_count(value)
        elif plain in _ELSEWHERE:
            continue
        elif (read := search_parameters(resource_type).get(plain)) is not None:
            field, parse = read
            groups.setdefault(field, []).append(tuple(parse(part) for part in _parts(name, value)))
        elif strict:
            raise refused("not-supported", f"the parameter {_shown(name)} is not known here")
        else:
            continue
        used.append((name, value))
    if sum(len(group) for found in groups.values() for group in found) > MAX_VALUES:
        raise refused("too-costly", f"a search may hold {MAX_VALUES} values")
    fields = {field: tuple(found) for field, found in groups.items()}
    return Search(types=(resource_type,), count=count, used=tuple(used), **fields)  # type: ignore[arg-type]


def parse_everything(patient: str, types: Iterable[str], given: Sequence[Parameter], *, strict: bool = False) -> Search:
    """`$everything` (http://hl7.org/fhir/R4/patient-operation-everything.html): all of a patient's records, of some types, of some time.

    `types` are those that exist. Records that say no time, and the Patient, belong to every time. Raises InvalidInput (400).
    """
    check_size(given)
    known, wanted, dates, used, count = frozenset(types), [], [], [], USUAL_COUNT
    for name, value in given:
        if name == "_count":
            count = parse_count(value)
        elif name == "_type":
            wanted += _parts(name, value)
        elif name in ("start", "end"):
            bound = _date(value)
            if bound.prefix != "eq" or value.startswith("eq"):
                raise refused("value", f"{name} must be a date without a prefix")
            dates.append((bound._replace(prefix="ge" if name == "start" else "le"),))
        elif name in _ELSEWHERE:
            continue
        elif strict or _plain(name) != name:
            raise refused("not-supported", f"the parameter {_shown(name)} is not known here")
        else:
            continue
        used.append((name, value))
    if not known.issuperset(wanted):
        raise refused("value", "_type names what is no resource type of FHIR R4")
    return Search(
        types=tuple(dict.fromkeys(wanted)),
        count=count,
        patients=((patient,),),
        dates=tuple(dates),
        undated_too=True,
        with_directory=True,
        used=tuple(used),
    )


def parse_count(value: str) -> int:
    """How many entries a page may hold; more than MOST are not given."""
    if not _NUMBER.fullmatch(value) or int(value) < 1:
        raise refused("value", "_count must be a number, 1 or more")
    return min(int(value), MOST)


def check_size(given: Sequence[Parameter]) -> None:
    """Refuse, before anything is read, what no search of people looks like."""
    if len(given) > MAX_PARAMETERS:
        raise refused("too-costly", f"a search may hold {MAX_PARAMETERS} parameters")
    if sum(len(name) + len(value) for name, value in given) > MAX_TEXT:
        raise refused("too-long", f"the parameters of a search may hold {MAX_TEXT} characters")


def refused(code: str, diagnostics: str) -> InvalidInput:
    """A fault of the search itself: 400."""
    return InvalidInput([Issue(code, diagnostics)], unreadable=True)


def _plain(name: str) -> str:
    """The name without a modifier that changes nothing here. Raises for all others, and for chains, as FHIR demands."""
    if name in ("patient:Patient", "subject:Patient", "actor:identifier"):
        return name.partition(":")[0]
    if ":" in name or "." in name:
        raise refused("not-supported", f"modifiers and chained parameters are not answered here: {_shown(name)}")
    if name == "_sort":
        raise refused("not-supported", "results have no order to choose: _sort is not answered here")
    return name


def search_parameters(resource_type: str) -> dict[str, tuple[str, Callable[[str], object]]]:
    """By the name of a parameter: the field of `Search` that it fills, and what reads one value of it.

    A Consent and an AuditEvent are answered from what was granted and what was logged (docs/adr/0017-consent.md, docs/design/access.md).
    """
    if resource_type in _SPECIAL:
        return _SPECIAL[resource_type]
    date = "birthdate" if resource_type == "Patient" else "date"  # the one time that the index knows of a type
    return {
        "_id": ("ids", _unescaped),
        "patient": ("patients", _unescaped),
        "subject": ("patients", _unescaped),
        "identifier": ("identifiers", _identifier),
        "category": ("categories", _token),
        "code": ("codes", _token),
        date: ("dates", _date),
    }


def _parts(name: str, value: str) -> list[str]:
    parts = _COMMA.split(value)
    if not all(parts):
        raise refused("value", f"{_shown(name)} has no value, or an empty one between commas")
    return parts


def _token(text: str) -> Token:
    parts = [_unescaped(part) for part in _BAR.split(text)]
    if len(parts) > 2 or not parts[-1]:
        raise refused("value", "a token is code, system|code or |code")
    return Token(None if len(parts) == 1 else parts[0], parts[-1])


def _identifier(text: str) -> Token:
    found = _token(text)
    if found.system is None:
        raise refused("not-supported", "an identifier is known here with its system only: identifier=system|value, or |value for none")
    return found


def _date(text: str) -> DateBound:
    found = _DATE.fullmatch(text.replace(" ", "+"))  # the sign of a zone, where a client did not escape it
    try:
        if found is None:
            raise ValueError
        first, last = seconds_covered(found[2])
    except ValueError:
        raise refused(
            "value", "a date is eq, ge, le, gt, lt or nothing, and YYYY, YYYY-MM, YYYY-MM-DD or an instant with its zone"
        ) from None
    return DateBound(cast(Prefix, found[1] or "eq"), first, last)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _shown(name: str) -> str:
    return repr(name[:40])


_SPECIAL: dict[str, dict[str, tuple[str, Callable[[str], object]]]] = {
    "Consent": {"_id": ("ids", _unescaped), "patient": ("patients", _unescaped), "actor": ("actors", _token)},
    "AuditEvent": {"_id": ("ids", _unescaped), "patient": ("patients", _unescaped), "date": ("dates", _date)},
}
