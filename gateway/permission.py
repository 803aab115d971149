"""Whether a reader may have versions of records: what `decide` is asked of each, with all that the index knows of it.

Reads only. In whose archives a version lies and how these are joined, the grants in force, what refers to a resource of a directory
(docs/design/access.md, docs/adr/0020-directory-links.md): it is one question however many versions there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from sqlalchemy import Connection

from gateway.consent.decision import AccessRequest, Decision, Grant, Role, decide
from gateway.consent.facts import OpenedFacts
from gateway.index import archives, consents, directory_links
from gateway.index.parties import Party, PartyRole
from gateway.index.records import RecordLocation


def decide_each(
    connection: Connection,
    reader: Party,
    purpose: str | None,
    found: Sequence[RecordLocation],
    now: float,
    opened: OpenedFacts | None = None,
    *,
    preliminary: bool = False,
) -> list[Decision]:
    """A decision for each of `found`, in their order, at `now` (seconds). Grants count for `purpose`; without one there are none.

    What is `opened` is judged by its content, too; with `preliminary` the rest is asked again. A deletion has no content, ever. RowAltered
    for a row of archives or links that is not as this gateway wrote it; whether grants are is looked at where a record leaves.
    """
    concerned = {at.archive for at in found}.union(*(at.also_of for at in found))
    groups = archives.groups_of(connection, concerned if reader.archive is None else {*concerned, reader.archive})
    grants = consents.grants_for(connection, reader.row, {member for row in concerned for member in groups[row]}) if purpose else []
    roots = {member: members[0] for members in groups.values() for member in members}
    requests = [replace(_asked(reader, purpose, at), preliminary=preliminary and not at.deleted) for at in found]
    judged = [decide(_with_facts(one, grants, at, opened), grants, now, roots) for one, at in zip(requests, found, strict=True)]
    denied = {at.row for at, decision in zip(found, judged, strict=True) if not decision.permitted}
    links = directory_links.linked(connection, reader.row, denied) if denied else {}
    return _judged_by_links(connection, reader, list(zip(found, requests, judged, strict=True)), links, opened, now) if links else judged


def _with_facts(asked: AccessRequest, grants: Iterable[Grant], at: RecordLocation, opened: OpenedFacts | None) -> AccessRequest:
    """The same with what the record says, if a grant makes exceptions: else nobody asks."""
    if opened is None or not any(grant.exceptions for grant in grants):
        return asked
    return replace(asked, facts=opened.of((at.row, at.version)))


def _judged_by_links(
    connection: Connection,
    reader: Party,
    judged: Sequence[tuple[RecordLocation, AccessRequest, Decision]],
    links: Mapping[int, set[int]],
    opened: OpenedFacts | None,
    now: float,
) -> list[Decision]:
    """The same, with those of a directory judged anew by what referred to them; only those, wherever a row of links points."""
    directories = directory_links.in_directories(connection, links)
    any_purpose = any(asked.purpose for _, asked, _ in judged)
    rows = set().union(*links.values()) - {directory_links.OWN} if any_purpose else set()
    grants = [row.grant for row in consents.by_rows(connection, rows)]

    def again(at: RecordLocation, asked: AccessRequest, decision: Decision) -> Decision:
        by = links.get(at.row, set()) if at.row in directories else set()
        if decision.permitted or not by:
            return decision
        is_own = directory_links.OWN in by and reader.role is PartyRole.PATIENT
        linked = replace(asked, also_archives=(), linked_own=is_own, linked_by=by)
        return decide(_with_facts(linked, grants, at, opened), grants, now)

    return [again(*one) for one in judged]


def _asked(reader: Party, purpose: str | None, at: RecordLocation) -> AccessRequest:
    return AccessRequest(
        client_id=reader.client_id,
        role=cast(Role, reader.role.name.lower()),
        own_archive=reader.archive,
        purpose=purpose or "",
        action="read",
        resource_type=at.type,
        archive=at.archive,
        also_archives=at.also_of,
        issuer_is_requester=at.issuer == reader.row,
    )
