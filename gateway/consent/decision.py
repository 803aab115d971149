"""Who may do what with whose records (docs/adr/0017-consent.md). Pure: no clock, no database.

Denied unless one of four holds: the record is the reader's own, the requester issued it, every patient it is about has granted it, or it
belongs to no patient and a record that the reader was given, in a way that still holds, refers to it.
Grants only ever permit, so fewer of them never permit more; a grant's exceptions (`provision`) take away from that grant alone.
A decision says what it rests on, for the access log and for who asks why.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from gateway.consent.provision import Circumstances, Provision, RecordFacts, is_withheld

Right = Literal["read", "write"]
Reason = Literal["own", "issued", "granted", "linked", "not-granted", "excepted"]  # for programs; the refused are told none
Role = Literal["patient", "institution", "agency"]
OWN: Literal["own"] = "own"
ISSUED: Literal["issued"] = "issued"
_ALONE: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True)
class Grant:
    """A patient's permission as it was committed. Times in seconds since the epoch, `ends_at` not included; no types: no permission."""

    id: bytes  # what the ledger knows it by
    row: int
    archive: int  # whose records
    grantee: str  # client id
    types: frozenset[str]  # FHIR resource types
    purposes: frozenset[str]  # v3 ActReason codes
    rights: frozenset[Right]
    starts_at: int
    ends_at: int
    sequence: int  # commit sequence, shared with revokes and accesses
    revoked_at_sequence: int | None = None
    exceptions: tuple[Provision, ...] = ()

    def is_in_force(self, now: float) -> bool:
        return self.revoked_at_sequence is None and self.starts_at <= now < self.ends_at

    def as_of(self, sequence: int) -> "Grant | None":
        """As it stood for what was committed under `sequence`: None before it was granted and from its revoke on."""
        if sequence <= self.sequence or (self.revoked_at_sequence is not None and self.revoked_at_sequence <= sequence):
            return None
        return replace(self, revoked_at_sequence=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """One record, or all of one type in one archive. A record about several patients names the others' archives, too."""

    client_id: str
    role: Role
    own_archive: int | None = None  # a patient's; nobody else has one
    purpose: str
    action: Right
    resource_type: str
    archive: int
    also_archives: Collection[int] = field(default_factory=frozenset)
    issuer_is_requester: bool = False
    linked_own: bool = False  # a record of the requester's own refers to it, and it belongs to no patient
    linked_by: Collection[int] = field(default_factory=frozenset)  # rows of grants by which a record that refers to it was disclosed
    facts: RecordFacts | None = None  # of the opened record
    preliminary: bool = False  # it is asked again once the record is open, so what may come to be permitted is permitted


@dataclass(frozen=True, slots=True)
class Decision:
    """`basis`: what the permission rests on, the grant of the archive where the record lies; `grants`: every grant it needed.

    Only a preliminary one may be not `settled`: the record's content decides.
    """

    permitted: bool
    basis: Literal["own", "issued"] | Grant | None
    reason: str
    code: Reason
    grants: tuple[Grant, ...] = ()
    settled: bool = True


def decide(request: AccessRequest, grants: Iterable[Grant], now: float, roots: Mapping[int, int] = _ALONE) -> Decision:
    """Whether `request` is permitted at `now` (seconds). `grants` may hold any others'; their order does not matter.

    `roots` has the root of each archive that is joined with others: what is said of one archive of a person is said of all of them.
    """
    if request.role != "patient" and request.issuer_is_requester:
        return Decision(permitted=True, basis=ISSUED, reason="the requester issued it", code="issued")
    own = request.own_archive if request.role == "patient" else None
    own, first = roots.get(own, own) if own is not None else None, roots.get(request.archive, request.archive)
    patients = {first, *(roots.get(archive, archive) for archive in request.also_archives)}
    needed = sorted(patients - {own}, key=lambda archive: (archive != first, archive))
    if not needed:
        return Decision(permitted=True, basis=OWN, reason="it is the patient's own", code="own")
    held = list(grants)
    relied_on = [_permitting(request, archive, held, now, roots) for archive in needed]
    found = tuple(grant for grant in relied_on if grant is not None)
    if not found and (request.linked_own or request.linked_by):
        return _decide_linked(request, held, now)
    if len(found) < len(needed):
        words = "no grant in force permits it" if not found else "a further patient whom it is about has not granted it"
        return _denied(request, held, now, words)
    basis = OWN if own == first else found[0]
    settled = all(_withholds(grant, request, now) is False for grant in found)
    return Decision(permitted=True, basis=basis, reason=_words(request, found), code="granted", grants=found, settled=settled)


def _denied(request: AccessRequest, grants: Iterable[Grant], now: float, reason: str) -> Decision:
    if any(_permits_but_for_exceptions(grant, request, now) and _withholds(grant, request, now) is not False for grant in grants):
        return Decision(permitted=False, basis=None, reason="an exception of the grant withholds it", code="excepted")
    return Decision(permitted=False, basis=None, reason=reason, code="not-granted")


def _decide_linked(request: AccessRequest, grants: Iterable[Grant], now: float) -> Decision:
    """Of what belongs to no patient: it is read by whoever may read the record that refers to it, whatever the types of the grant."""
    if request.action == "read" and request.linked_own:
        return Decision(permitted=True, basis=OWN, reason="a record of the patient's own refers to it", code="own")
    linked = [grant for grant in grants if grant.row in request.linked_by]
    permits = [grant for grant in linked if _permits_purpose(grant, request, now) and _leaves(grant, request, now)]
    first = min(permits, key=lambda grant: (grant.sequence, grant.id), default=None)
    if first is None or request.action != "read":
        return Decision(permitted=False, basis=None, reason="no grant in force permits it", code="not-granted")
    settled = _withholds(first, request, now) is False
    words = f"a record disclosed to {request.client_id} for {request.purpose} refers to it (commit {first.sequence})"
    return Decision(permitted=True, basis=first, reason=words, code="linked", grants=(first,), settled=settled)


def _permitting(request: AccessRequest, root: int, grants: Iterable[Grant], now: float, roots: Mapping[int, int]) -> Grant | None:
    """The first committed grant of the archives at `root` that permits the request: always the same one, in whatever order they come."""
    permits = (grant for grant in grants if roots.get(grant.archive, grant.archive) == root and _permits(grant, request, now))
    return min(permits, key=lambda grant: (grant.sequence, grant.id), default=None)


def _permits(grant: Grant, request: AccessRequest, now: float) -> bool:
    return _permits_but_for_exceptions(grant, request, now) and _leaves(grant, request, now)


def _leaves(grant: Grant, request: AccessRequest, now: float) -> bool:
    """Whether the grant's exceptions leave it permitted; for now, where it is asked again."""
    withheld = _withholds(grant, request, now)
    return withheld is False or (withheld is None and request.preliminary)


def _withholds(grant: Grant, request: AccessRequest, now: float) -> bool | None:
    if not grant.exceptions:
        return False
    asked = Circumstances(request.client_id, request.purpose, request.action, request.resource_type, now, request.facts)
    return is_withheld(grant.exceptions, asked)


def _permits_but_for_exceptions(grant: Grant, request: AccessRequest, now: float) -> bool:
    return request.resource_type in grant.types and _permits_purpose(grant, request, now)


def _permits_purpose(grant: Grant, request: AccessRequest, now: float) -> bool:
    return (
        grant.grantee == request.client_id
        and request.purpose in grant.purposes
        and request.action in grant.rights
        and grant.is_in_force(now)
    )


def _words(request: AccessRequest, grants: tuple[Grant, ...]) -> str:
    numbers = ", ".join(str(grant.sequence) for grant in grants)
    granted = f"granted to {request.client_id} for {request.purpose}: {request.action} of {request.resource_type}"
    return f"{granted} (commit {numbers})"
