"""The rows that are believed as they stand: each has the tag that the keyring gives it, and parties are what the ledger knows them as.

A tag says that the gateway wrote the row, not that it is the newest that it wrote. What the ledger has decided for good shows an older one,
and what the last audit saw of rows that last (`audit_lasting_rows`).
An archive's sealed keys are in no tag, because they are the keyring's. That they are gone is believed only where the bucket has the mark of
an erasure: else whoever can write the database could make a patient's records unreadable, and every audit would call that by design.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, Table

from chain.ledger import Ledger
from gateway.erasure import is_marked
from gateway.errors import Unavailable
from gateway.index import erasures, memberships, parties
from gateway.index import schema as t
from gateway.index.database import Index
from gateway.index.parties import Party
from gateway.index.tagged_tables import TAGGED
from gateway.services import Services
from gateway.vault.errors import RowAltered
from jobs.audit_lasting_rows import verify_lasting_rows
from jobs.audit_notes import Notes
from jobs.audit_report import Report


def verify_row_tags(index: Index, ledger: Ledger | None) -> Report:
    """Every party and archive, what waits to be signed, links, the review queue. LedgerError if the ledger cannot be read."""
    notes = Notes()
    try:
        with index.reading() as connection:
            _verify_rows(connection, notes)
        if ledger is not None:
            _verify_against(ledger, index, notes)
            with index.reading() as connection:
                verify_lasting_rows(connection, ledger, notes)
    except Unavailable as error:
        notes.could_not_check(f"the tags of the database's rows: {error}")
    return notes.report()


# What an altered row is told as: code, subject, detail. An altered restore ends an audit before it comes to these.
_UNLIKE = "is not as the gateway wrote it"
_TOLD: dict[Table, Callable[[Row[Any]], tuple[str, str, str]]] = {
    t.party: lambda row: ("party-altered", f"party {row.client_id}", f"its row {_UNLIKE}"),
    t.archive: lambda row: ("archive-altered", f"archive {row.row}", f"its row {_UNLIKE}"),
    t.outbox: lambda row: ("outbox-altered", f"outbox row {row.id}", f"it {_UNLIKE}"),
    t.directory_link: lambda row: (
        "link-altered",
        f"directory link of resource row {row.resource}",
        f"to party row {row.party} by grant row {row.consent}: it {_UNLIKE}",
    ),
    t.membership: lambda row: ("archive-altered", f"membership {row.row}", f"since when an archive is joined: it {_UNLIKE}"),
    t.review: lambda row: ("review-altered", f"review line {row.row}", f"it {_UNLIKE}"),
}


def _verify_rows(connection: Connection, notes: Notes) -> None:
    contradicted = set(memberships.contradicted(connection))
    for tagged in TAGGED:
        for row, is_altered in tagged.altered(connection):
            if tagged.table is t.party:
                notes.count("parties")
            if is_altered and tagged.table in _TOLD:
                notes.found(*_TOLD[tagged.table](row))
            elif tagged.table is t.archive and row.row in contradicted:
                notes.found("archive-altered", f"archive {row.row}", "its link is another than was last written down")


def verify_keyless(services: Services) -> Report:
    """Every archive without its private key was erased."""
    notes = Notes()
    try:
        with services.index.reading() as connection:
            keyless = erasures.keyless(connection)
            if uncleaned := erasures.count_uncleaned(connection):
                notes.found("erasure-unfinished", "gateway.db", f"its files still hold sealed keys of {uncleaned} erased patients")
        for row, key_id in keyless:
            if not is_marked(services.store, services.index_key, key_id):
                notes.found("archive-altered", f"archive {row}", "its private key is gone, and the bucket has no mark of an erasure")
    except Unavailable as error:
        notes.could_not_check(f"whether archives without keys were erased: {error}")
    return notes.report()


def _verify_against(ledger: Ledger, index: Index, notes: Notes) -> None:
    """What is final there holds here; what is on its way there is not there yet."""
    with index.reading() as connection:
        names = [row.client_id for row, is_altered in parties.TAGGED.altered(connection) if not is_altered]
        for client_id in names:
            try:
                party = parties.by_client_id(connection, client_id)
            except RowAltered:
                continue
            fault = None if party is None else _fault(ledger, party)
            if fault is not None:
                notes.found("party-altered", f"party {client_id}", fault)


def _fault(ledger: Ledger, party: Party) -> str | None:
    entry = ledger.party(party.client_id)
    if entry is None:
        return None
    if entry.suspended and party.active:
        return "it is suspended on the ledger and active here"
    if (entry.signing_key, entry.attestation_key) != (party.signing_key, party.attestation_key):
        return "its keys are not those on the ledger"
    return None
