"""A party held against the ledger before it gets a token: its row alone is not believed (docs/adr/0044-rows-that-last.md).

An older row has a tag of its own, so who can write the database could let a suspended party sign in again. What the ledger has suspended
stays so. Patients are on no ledger: the next audit sees that one of theirs was put back (`jobs.audit_lasting_rows`).
"""

from gateway.index.parties import Party
from gateway.services import Services
from gateway.vault.errors import RowAltered


def verify_standing(services: Services, party: Party) -> None:
    """RowAltered for a party that is active by its row and suspended on the ledger. LedgerError, LedgerUnreachable."""
    entry = services.ledger.party(party.client_id) if services.ledger else None
    if entry is not None and entry.suspended:
        raise RowAltered(f"party row {party.row}", "it is suspended on the ledger and active here")
