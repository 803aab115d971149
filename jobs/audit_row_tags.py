"""The rows that are believed as they stand: each has the tag that the keyring gives it, and parties are what the ledger knows them as.

A tag says that the gateway wrote the row, not that it is the newest that it wrote. What the ledger has decided for good shows an older one.
An archive's sealed keys are in no tag, because they are the keyring's. That they are gone is believed only where the bucket has the mark of
an erasure: else whoever can write the database could make a patient's records unreadable, and every audit would call that by design.
"""

from sqlalchemy import Connection

from chain.ledger import Ledger
from gateway.erasure import is_marked
from gateway.errors import Unavailable
from gateway.index import archives, directory_links, erasures, memberships, outbox, parties, persons
from gateway.index.database import Index
from gateway.index.parties import Party
from gateway.services import Services
from gateway.vault.errors import RowAltered
from jobs.audit_notes import Notes
from jobs.audit_report import Report


def verify_row_tags(index: Index, ledger: Ledger | None) -> Report:
    """Every party and archive, what waits to be signed, links, the review queue. LedgerError if the ledger cannot be read."""
    notes = Notes()
    try:
        with index.reading() as connection:
            for client_id, is_altered in parties.altered(connection):
                notes.count("parties")
                if is_altered:
                    notes.found("party-altered", f"party {client_id}", "its row is not as the gateway wrote it")
            contradicted = set(memberships.contradicted(connection))
            for row, is_altered in archives.altered(connection):
                if is_altered:
                    notes.found("archive-altered", f"archive {row}", "its row is not as the gateway wrote it")
                elif row in contradicted:
                    notes.found("archive-altered", f"archive {row}", "its link is another than was last written down")
            _verify_others(connection, notes)
        if ledger is not None:
            _verify_against(ledger, index, notes)
    except Unavailable as error:
        notes.could_not_check(f"the tags of the database's rows: {error}")
    return notes.report()


def _verify_others(connection: Connection, notes: Notes) -> None:
    unlike = "it is not as the gateway wrote it"
    for id_, is_altered in outbox.altered(connection):
        if is_altered:
            notes.found("outbox-altered", f"outbox row {id_}", unlike)
    for (resource, party, consent), is_altered in directory_links.altered(connection):
        if is_altered:
            notes.found(
                "link-altered", f"directory link of resource row {resource}", f"to party row {party} by grant row {consent}: {unlike}"
            )
    for row, is_altered in memberships.altered(connection):
        if is_altered:
            notes.found("archive-altered", f"membership {row}", f"since when an archive is joined: {unlike}")
    for number, is_altered in persons.altered(connection):
        if is_altered:
            notes.found("review-altered", f"review line {number}", unlike)


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
        names = [client_id for client_id, is_altered in parties.altered(connection) if not is_altered]
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
