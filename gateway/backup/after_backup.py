"""What the chain and the bucket say of the time after a backup, applied to the database that comes from it, before it serves anyone."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from chain.access_batch import AccessBatchBody
from chain.block import Header
from chain.consent import ConsentRevokeBody
from chain.ledger import Ledger
from chain.transactions import Body, PartyAction, PartyBody, parse_transaction
from gateway.index import accesses, consents, parties, restores
from gateway.index import schema as t
from gateway.index.restores import Restore


def go_on_after(
    connection: Connection, ledger: Ledger, waiting: Sequence[Body], gateway: str, *, made_at: int, log_size: int, now: int
) -> Restore:
    """In one unit: what the chain ended stays ended, open accesses get their batch, and no number is given out again.

    `waiting` is in the pool of a ledger that is newer than the backup: it will be recorded before anything new.
    """
    _end_grants(connection, ledger, [body for body in waiting if isinstance(body, ConsentRevokeBody)], now)
    _suspend_parties(connection, ledger, [body for body in waiting if isinstance(body, PartyBody)])
    _settle_accesses(connection, ledger, [body for body in waiting if isinstance(body, AccessBatchBody)], gateway, now)
    head = ledger.head()
    return restores.begin(
        connection,
        made_at=made_at,
        log_size=log_size,
        ledger_size=(head.log_size if head else 0) + len(waiting),
        last_sequence=ledger.last_sequence(gateway),
        now=now,
    )


def _end_grants(connection: Connection, ledger: Ledger, waiting: Sequence[ConsentRevokeBody], now: int) -> None:
    """What was revoked after the backup, where the chain knows it."""
    ending = {body.grant_id: body.sequence for body in waiting}
    standing = select(t.consent_grant.c.row, t.consent_grant.c.grant_id, t.consent_grant.c.granted_ms)
    for row, grant_id, granted_ms in connection.execute(standing.where(t.consent_grant.c.revoked_at_sequence.is_(None))).all():
        entry = ledger.grant(grant_id)
        if entry is not None and entry.revoked is not None:
            consents.revoke(connection, row, entry.revoked.sequence, max(granted_ms + 1, _recorded_ms(ledger, entry.revoked.log_index)))
        elif grant_id in ending:
            consents.revoke(connection, row, ending[grant_id], max(granted_ms + 1, now * 1000))


def _suspend_parties(connection: Connection, ledger: Ledger, waiting: Sequence[PartyBody]) -> None:
    ending = {body.client_id for body in waiting if body.action is PartyAction.SUSPEND}
    for party in parties.all_parties(connection):
        entry = ledger.party(party.client_id)
        if party.active and (party.client_id in ending or (entry is not None and entry.suspended)):
            parties.mark_suspended(connection, party)


def _settle_accesses(connection: Connection, ledger: Ledger, waiting: Sequence[AccessBatchBody], gateway: str, now: int) -> None:
    """Those in no batch get that of the chain, if it has one, else one of their own: none may span what is skipped."""
    is_open = t.access.c.batch.is_(None)
    for (sequence,) in connection.execute(select(t.access.c.sequence).where(is_open)).all():
        at = ledger.access_batch_of(gateway, sequence)
        recorded = [] if at is None else [parse_transaction(ledger.prove(at).transaction).body]
        spanning = (body for body in (*recorded, *waiting) if isinstance(body, AccessBatchBody))
        body = next((body for body in spanning if body.first <= sequence <= body.last), None)
        if body is not None:
            connection.execute(update(t.access).where(t.access.c.sequence == sequence).values(batch=body.last))
    accesses.close_batch(connection, now)


def _recorded_ms(ledger: Ledger, log_index: int) -> int:
    return Header.from_bytes(ledger.prove(log_index).header).time * 1000
