"""Consent rows against the chain: each grant is on it with these terms, and revoked exactly if it says so.

See docs/design/access.md, the audit. Three things must agree: the ledger's commitment, which is believed; the row's clear columns, by
which is decided; and the sealed Consent, which is what the patient said. The one-time key follows from the archive's secret, so that a
row has one grant id and no other.
"""

from dataclasses import dataclass, replace

import msgspec

from chain.consent import ConsentGrantBody, ConsentRevokeBody, commit_terms
from chain.entries import GrantEntry
from chain.keys import SigningKey
from chain.ledger import Ledger
from fhir_adapters.issue import InvalidInput
from gateway.consent.decision import Grant
from gateway.consent.resource import terms_of
from gateway.consent.terms import Terms, row_terms
from gateway.index.consents import ConsentRow
from gateway.services import Services
from gateway.stored_consents import sealed_context
from gateway.vault.errors import WrongKey
from gateway.vault.keyring import ArchiveSecret
from jobs.audit_notes import Notes
from jobs.audit_sequence import Shard
from jobs.audit_stored_conduct import StoredConduct


@dataclass(frozen=True, slots=True)
class TrueGrant:
    """A grant as the chain bears it out; not yet on it, as its row says. `secret` is that of its archive."""

    grant: Grant
    secret: ArchiveSecret


class ConsentAudit:
    """The consents of one shard; each is opened once."""

    def __init__(self, services: Services, ledger: Ledger, shard: Shard, stored: StoredConduct, notes: Notes) -> None:
        self._services, self._ledger, self._shard, self._stored, self._notes = services, ledger, shard, stored, notes
        self._passed = ledger.last_sequence(services.gateway)  # before any grant is asked for
        self._true: dict[int, TrueGrant | None] = {}

    def verify(self) -> None:
        """What the chain has must be in the database as it is on the chain, and the other way round."""
        granted, revoked = set(), set()
        for act in self._shard.acts:
            if isinstance(act, ConsentGrantBody):
                granted.add(act.sequence)
                self._verify_granted(act)
            elif isinstance(act, ConsentRevokeBody):
                revoked.add(act.sequence)
                self._verify_revoked(act)
        for number, row in self._stored.granted.items():
            self._verify_sealed(row)
            if number not in granted:
                self._verify_unrecorded(row, number, row.granted_ms, "it")
        for number, row in self._stored.revoked.items():
            if number not in revoked:
                self._verify_unrecorded(row, number, row.revoked_ms or 0, "its revoke")

    def true_grant(self, row: ConsentRow) -> TrueGrant | None:
        """What the grant of a row really is; None, and noted, where that cannot be told."""
        if row.grant.row not in self._true:
            self._true[row.grant.row] = self._opened(row)
        return self._true[row.grant.row]

    def name(self, row: ConsentRow) -> str:
        return f"Consent/{self._id(row)}"

    def _id(self, row: ConsentRow) -> str:
        return self._services.ids.encode([row.grant.row])[0]

    def _verify_granted(self, act: ConsentGrantBody) -> None:
        self._notes.count("consents")
        row = self._stored.by_grant_id.get(act.grant_id) or self._stored.granted.get(act.sequence)
        if row is None and self._shard.bounds.lost.numbers_in(range(act.sequence, act.sequence + 1)):
            self._notes.count("consents lost at a restore")
        elif row is None:
            self._notes.found(
                "consent-missing", f"grant {act.grant_id.hex()}", f"granted as number {act.sequence}; the database has no row"
            )
        elif row.grant.id != act.grant_id:
            self._altered(row, "its grant id is not the one on the chain")
        elif row.grant.sequence != act.sequence:
            self._altered(row, f"granted as number {act.sequence}, and the row says {row.grant.sequence}")
        elif self._is_erased(row):
            self._notes.count("consents not checkable by design")
        elif not self._opens(row, row_terms(row.grant), act.commitment):
            self._altered(row, "its terms are not what the chain's commitment opens to")

    def _verify_revoked(self, act: ConsentRevokeBody) -> None:
        self._notes.count("revokes")
        row = self._stored.by_grant_id.get(act.grant_id)
        if row is not None and row.grant.revoked_at_sequence != act.sequence:
            self._altered(row, f"revoked as number {act.sequence}, and the row says {row.grant.revoked_at_sequence or 'that it stands'}")
        elif row is not None and row.revoked_ms is None:
            self._altered(row, "it is revoked, and when is gone")

    def _verify_unrecorded(self, row: ConsentRow, number: int, committed_ms: int, what: str) -> None:
        """A grant or revoke under a number where the chain has none. The chain takes no number that it has passed."""
        entry = self._ledger.grant(row.grant.id)
        on_chain = entry if what == "it" else entry.revoked if entry else None
        if on_chain is not None:
            if number != on_chain.sequence and on_chain.log_index < self._shard.log_size:
                self._altered(row, f"number {on_chain.sequence} on the chain, and the row says {number}")
            return
        if not self._shard.recorded and self._shard.bounds.is_pending(committed_ms / 1000):
            self._notes.pending(self.name(row))
        else:
            self._notes.found("consent-unanchored", self.name(row), f"{what} is committed as number {number}, and not on the chain")

    def _verify_sealed(self, row: ConsentRow) -> None:
        """The sealed Consent against the columns by which is decided."""
        try:
            content = self._content(row)
            said = self._said(content, row)
        except WrongKey:
            self._altered(row, "the sealed Consent does not open")
            return
        except (InvalidInput, msgspec.MsgspecError):
            self._notes.could_not_check(f"{self.name(row)}: this version does not understand what was sealed")
            return
        if said != row_terms(row.grant):
            self._altered(row, "its terms are not those of the sealed Consent")
        elif row.content != self._services.tokens.content(row.grant.archive, content):
            self._altered(row, "its content token is not that of the sealed Consent")
        elif (row.revoked_ms is None) != (row.grant.revoked_at_sequence is None):
            self._altered(row, "it says both that it is revoked and that it stands")

    def _opened(self, row: ConsentRow) -> TrueGrant | None:
        secret = self._secret(row)
        if secret is None:
            return None
        grant_id = SigningKey.from_seed(secret.grant_seed(self._consent_id(row))).public
        entry = self._ledger.grant(grant_id)
        if entry is None and (grant_id == row.grant.id or self._ledger.grant(row.grant.id) is None):
            return TrueGrant(replace(row.grant, id=grant_id), secret)
        terms = self._true_terms(row, entry) if entry else None
        if entry is None or terms is None:
            self._notes.could_not_check(f"the accesses by {self.name(row)}: neither its row nor what was sealed says what it permits")
            return None
        ended = entry.revoked.sequence if entry.revoked else self._not_recorded(row.grant.revoked_at_sequence)
        named = {name: getattr(terms, name) for name in ("grantee", "types", "purposes", "rights", "starts_at", "ends_at", "exceptions")}
        return TrueGrant(replace(row.grant, id=grant_id, sequence=entry.sequence, revoked_at_sequence=ended, **named), secret)

    def _not_recorded(self, number: int | None) -> int | None:
        """The number of a revoke that the chain does not have yet; one that it has passed was never made."""
        return None if number is None or number <= self._passed else number

    def _true_terms(self, row: ConsentRow, entry: GrantEntry) -> Terms | None:
        """Those of the two that the commitment opens to."""
        if self._opens(row, row_terms(row.grant), entry.commitment):
            return row_terms(row.grant)
        try:
            said = self._said(self._content(row), row)
        except (WrongKey, InvalidInput, msgspec.MsgspecError):
            return None
        return said if self._opens(row, said, entry.commitment) else None

    def _opens(self, row: ConsentRow, terms: Terms, commitment: bytes) -> bool:
        secret, archive = self._secret(row), self._stored.archives.get(row.grant.archive)
        if secret is None or archive is None:
            return False
        consent_id = self._consent_id(row)
        salt = secret.grant_salt(consent_id)
        return commit_terms(self._services.chain_id, salt, terms.to_bytes(consent_id, archive.keys.key_id)) == commitment

    def _is_erased(self, row: ConsentRow) -> bool:
        archive = self._stored.archives.get(row.grant.archive)
        return archive is not None and archive.keys.is_erased

    def _secret(self, row: ConsentRow) -> ArchiveSecret | None:
        archive = self._stored.archives.get(row.grant.archive)
        try:
            return None if archive is None or archive.keys.is_erased else self._services.keyring.archive_secret(archive.keys)
        except WrongKey:
            self._notes.could_not_check(f"{self.name(row)}: the secret of its archive does not open; see level content")
            return None

    def _content(self, row: ConsentRow) -> bytes:
        return self._services.keyring.open(sealed_context(self._id(row)), row.sealed)

    def _said(self, content: bytes, row: ConsentRow) -> Terms:
        return terms_of(content, row.granted_ms // 1000)

    def _consent_id(self, row: ConsentRow) -> bytes:
        return bytes.fromhex(self._id(row))

    def _altered(self, row: ConsentRow, detail: str) -> None:
        self._notes.found("consent-altered", self.name(row), detail)
