"""Had every disclosed record a permit in force? Asked of `decide`, the one rule, with the grants as they stood at the access."""

from collections import defaultdict
from dataclasses import replace
from typing import cast

from chain.ledger import Ledger
from gateway.consent.decision import ISSUED, AccessRequest, Grant, Role, decide
from gateway.consent.facts import facts_of
from gateway.consent.provision import RecordFacts
from gateway.errors import Unavailable
from gateway.index import records
from gateway.services import Services
from gateway.storage.port import ObjectMissing
from gateway.vault.errors import SealBroken
from jobs.audit_consents import ConsentAudit
from jobs.audit_notes import Notes
from jobs.audit_stored_conduct import LoggedRow, Place, Reader, StoredConduct, Version


def archives_covered(grant: Grant, stored: StoredConduct, row: LoggedRow) -> frozenset[int]:
    """The archives for which a grant counted for an access: its own, and what that was joined with under the access's number.

    Of two that were joined and split before that was written down, it is known until when they were joined, and not since when.
    """
    known = stored.memberships
    parted = (other for other, parted_at in stored.parted.get(grant.archive, ()) if row.accessed_ms < (parted_at + 1) * 1000)
    unwritten = (other for other in parted if not known.were_ever_joined(grant.archive, other))
    return known.joined_at(grant.archive, row.sequence).union(unwritten)


class PermitAudit:
    """The permits of one shard's accesses."""

    def __init__(self, services: Services, ledger: Ledger, stored: StoredConduct, consents: ConsentAudit, notes: Notes) -> None:
        self._services, self._ledger, self._stored, self._notes = services, ledger, stored, notes
        true = (consents.true_grant(row) for rows in stored.shared.values() for row in rows)
        self._shared = [one.grant for one in true if one is not None]
        self._roles: dict[str, Role] = {}

    def verify(self, row: LoggedRow, reader: Reader, named: Grant, versions: list[Version]) -> None:
        """Each record of an access, which names one grant. A record of several patients needs the grants of the others, too."""
        faults: defaultdict[str, list[Version]] = defaultdict(list)
        decided: dict[tuple[Place, RecordFacts | None], str | None] = {}
        for version in versions:
            place = self._stored.places.get(version)
            if place is None:
                faults["it is not in the database"].append(version)
                continue
            held = self._held(row, named, place)
            try:
                facts = self._facts(version, place) if any(grant.exceptions for grant in held) else None
            except (Unavailable, SealBroken, ObjectMissing) as error:
                what = f"{self._names([version])}: {error}"
                self._notes.could_not_check(f"access {row.sequence}: whether an exception of the grant withheld {what}")
                continue
            if (place, facts) not in decided:
                decided[place, facts] = self._fault(row, reader, named, place, held, facts)
            if (fault := decided[place, facts]) is not None:
                faults[fault].append(version)
        self._notes.count("disclosed records", len(versions))
        for fault, those in faults.items():
            self._notes.found("permit-missing", f"access {row.sequence}", f"{self._names(those)}: {fault}")

    def _held(self, row: LoggedRow, named: Grant, place: Place) -> list[Grant]:
        """The named grant, for a record of several patients those of the others, too; each once for every archive that it covers."""
        covered = archives_covered(named, self._stored, row)
        others = (grant for grant in self._shared if place.also and grant.archive not in covered)
        then = (grant.as_of(row.sequence) for grant in (named, *others))
        standing = [grant for grant in then if grant is not None]
        return [replace(grant, archive=archive) for grant in standing for archive in archives_covered(grant, self._stored, row)]

    def _facts(self, version: Version, place: Place) -> RecordFacts | None:
        """What the record says, opened for it; None of a deletion. Raises Unavailable, SealBroken and ObjectMissing."""
        with self._services.index.reading() as connection:
            at = records.find(connection, place.type, *version)
        return None if at is None or at.deleted else facts_of(self._services.anchored.record(at).body)

    def _fault(
        self, row: LoggedRow, reader: Reader, named: Grant, place: Place, held: list[Grant], facts: RecordFacts | None
    ) -> str | None:
        request = AccessRequest(
            client_id=reader.client_id,
            role=self._role(reader.client_id),
            own_archive=reader.archive,
            purpose=row.purpose,
            action="read",
            resource_type=place.type,
            archive=place.archive,
            also_archives=place.also,
            issuer_is_requester=place.issuer == row.party,
            linked_by={named.row} if (row.party, named.row) in place.linked_by else frozenset(),
            facts=facts,
        )
        decision = decide(request, held, row.accessed_ms / 1000)
        if not decision.permitted:
            return decision.reason
        rests_on_it = decision.basis == ISSUED or any(grant.id == named.id for grant in decision.grants)
        return None if rests_on_it else "the grant that it names is not what permits it"

    def _role(self, client_id: str) -> Role:
        """As the ledger has it, which names no patient."""
        if client_id not in self._roles:
            party = self._ledger.party(client_id)
            self._roles[client_id] = cast(Role, "patient" if party is None else party.role.name.lower())
        return self._roles[client_id]

    def _names(self, versions: list[Version]) -> str:
        row, version = versions[0]
        place = self._stored.places.get(versions[0])
        name = f"{place.type if place else 'record'}/{self._services.ids.encode([row])[0]}/_history/{version}"
        return name if len(versions) == 1 else f"{name} and {len(versions) - 1} more"
