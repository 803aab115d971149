"""Joining archives that are one person's, and taking that back: decided within the commit that changes what it rests on.

What Patients say of themselves is kept sealed beside the index, as blind tokens, for the version that says it: whoever edits the database
can take it away, so that nothing is joined, but cannot make two archives agree.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import cbor2
from sqlalchemy import Connection

from gateway.errors import Conflict, NotFound
from gateway.identity.joining import MAX_GROUP, MAX_LINES, Group, Traits, decide_join, read_person
from gateway.index import archives, parties, persons, records, search, sources
from gateway.index.archives import Archive
from gateway.index.persons import Person, ReviewLine
from gateway.index.resource_types import PATIENT
from gateway.index.tokens import BlindTokens
from gateway.services import Services
from gateway.versions import Version

_BIRTH = "Patient#birth"  # no resource type, so that no identifier has such a token
_GROUND = "Patient#ground"


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A version of a Patient that is about to be committed; `traits` is None for a deleted one."""

    row: int
    version: int
    archive: Archive
    traits: Traits | None


def new_persons(services: Services, versions: Iterable[Version], archive_of: dict[int, Archive]) -> list[NewPerson]:
    """The Patients among what is written, where the operator declared systems shared; else none."""
    shared = frozenset(services.settings.shared_systems)
    found = [version for version in versions if version.placed.type == PATIENT] if shared else []
    return [NewPerson(v.placed.row, v.version, archive_of[v.placed.row], _traits(services.tokens, v, shared)) for v in found]


def settle(services: Services, connection: Connection, written: Sequence[NewPerson], now: int) -> None:
    """Keep what each says of itself, then join or queue each in its turn. In the unit that writes them, which holds the write lock."""
    for person in written:
        sealed = None if person.traits is None else _sealed(services, person.row, person.version, person.traits)
        persons.write(connection, person.row, person.version, sealed)
    for person in written:
        _settle(services, connection, person, now)


def decide(connection: Connection, number: int, decision: str, now: int) -> ReviewLine:
    """An operator's `join` or `keep-apart` on a line of the queue. NotFound; Conflict where keeping apart takes a split."""
    line = persons.line(connection, number)
    if line is None:
        raise NotFound(f"there is no line {number} in the review queue")
    groups = archives.groups_of(connection, [line.archive, line.other])
    own, other = groups[line.archive], groups[line.other]
    if decision == "join":
        archives.join(connection, own, other)
        persons.decide_open(connection, {*own, *other}, "join", now)
    elif own == other:
        raise Conflict("these two are joined; take one off with: fhir-anchor patient split PATIENT")
    else:
        persons.decide_open(connection, {line.archive, line.other}, "keep-apart", now)
    persons.decide_line(connection, number, decision, now)
    return line._replace(decision=decision, decided_at=now)


def split(services: Services, connection: Connection, patient_id: str, now: int) -> tuple[int, ...]:
    """Take a Patient's archive off its group for good, until an operator joins it again; those that stay together.

    NotFound for no Patient of this gateway; Conflict if it is in no group.
    """
    row = services.ids.decode(patient_id)
    archive = None if row is None else search.archive_of_patient(connection, row)
    if archive is None:
        raise NotFound("there is no patient of this id; `patient review list --all` names them")
    members = archives.groups_of(connection, [archive])[archive]
    if len(members) == 1:
        raise Conflict("this patient's archive is joined with no other")
    known = _group(services, connection, members)
    rest = archives.split(connection, archive)
    persons.decide_open(connection, members, "keep-apart", now, of=archive)
    for other in rest:
        persons.part(connection, archive, other, _ground(services.tokens, known[archive], known[other]), now)
    return rest


def _settle(services: Services, connection: Connection, person: NewPerson, now: int) -> None:
    archive = person.archive.row or 0
    own_members = archives.groups_of(connection, [archive])[archive]
    met, are_more = _met(connection, person.traits, own_members)
    if not met and len(own_members) == 1:
        return
    own = _group(services, connection, own_members)
    groups = {members: _group(services, connection, members) for members in met}
    concerned = {*own, *(member for members in groups for member in members)}
    others = [groups[members] for members in sorted(groups)]
    outcome = decide_join(
        archive, own, others, persons.kept_apart(connection, concerned), are_more=are_more, signs_in=parties.signs_in(connection, own)
    )
    for line in outcome.lines:
        known = own.get(line.other) or next((group[line.other] for group in groups.values() if line.other in group), None)
        persons.open_line(connection, archive, line.other, line.reason, _ground(services.tokens, own[archive], known), now)
    if outcome.join is not None:
        archives.join(connection, own, outcome.join)
        persons.decide_open(connection, {*own, *outcome.join}, "join", now)


def _met(connection: Connection, traits: Traits | None, own: Collection[int]) -> tuple[set[tuple[int, ...]], bool]:
    """The groups of live Patients that the index has under the same identifiers or dummies; what they say themselves is looked at later.

    Of many groups the first few, and whether more may share an identifier: the write lock is held, and what each says would be opened for
    every Patient that comes with a value which half an institution's have.
    """
    if traits is None:
        return set(), False
    named = _groups_with(connection, traits.identifiers, own, MAX_GROUP + 1)  # so many of one group, and it is full
    dummies = _groups_with(connection, traits.dummies, own, MAX_LINES)
    return {*named[:MAX_LINES], *dummies[:MAX_LINES]}, len(named) > MAX_LINES


def _groups_with(connection: Connection, tokens: Collection[bytes], own: Collection[int], most: int) -> list[tuple[int, ...]]:
    """The groups other than `own`, ascending, of the first `most` archives that have one of `tokens` by the index."""
    limit = most + len(own)
    rows = set().union(*(sources.first_rows_by_identifier(connection, token, limit) for token in sorted(tokens)))
    live = (s for s in records.states(connection, rows).values() if s.type == PATIENT and s.version and not s.deleted)
    met = {state.archive for state in live if state.archive is not None}
    return sorted(set(archives.groups_of(connection, met - set(own)).values()))


def _group(services: Services, connection: Connection, members: Collection[int]) -> Group:
    found: dict[int, Traits | None] = dict.fromkeys(members)
    for person in persons.in_archives(connection, members):
        found[person.archive] = _opened(services, person)
    return found


def _traits(tokens: BlindTokens, version: Version, shared: frozenset[str]) -> Traits | None:
    if version.placed.draft.deletes:
        return None
    birth, named, dummies = read_person(version.content, shared)
    identifiers, dummy_tokens = (frozenset(tokens.identifier("Patient", *one) for one in kind) for kind in (named, dummies))
    return Traits(None if birth is None else tokens.identifier(_BIRTH, None, birth), identifiers, dummy_tokens)


def sealed_context(row: int, version: int) -> str:
    return f"person/{row}/{version}"


def _sealed(services: Services, row: int, version: int, traits: Traits) -> bytes:
    body = cbor2.dumps([traits.birth, sorted(traits.identifiers), sorted(traits.dummies)])
    return services.keyring.seal(sealed_context(row, version), body, services.random)


def _opened(services: Services, person: Person) -> Traits | None:
    if person.sealed is None:
        return None
    birth, identifiers, dummies = cbor2.loads(services.keyring.open(sealed_context(person.resource, person.version), person.sealed))
    return Traits(birth, frozenset(identifiers), frozenset(dummies))


def _ground(tokens: BlindTokens, one: Traits | None, other: Traits | None) -> bytes:
    """16 bytes for what two Patients said of themselves, whichever of them comes first: the same as long as neither says anything else."""
    said = sorted(cbor2.dumps([t.birth, sorted(t.identifiers | t.dummies)] if t else None).hex() for t in (one, other))
    return tokens.identifier(_GROUND, None, "/".join(said))
