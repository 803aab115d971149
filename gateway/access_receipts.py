"""Assembling the receipt of one access from the access log and the ledger. docs/design/access.md.

It is given to the reader, who knows what it got, and to the patient whose grant it rests on. To anyone else an access of another's and one
that never was are the same.
"""

from sqlalchemy import Connection

from chain import merkle
from chain.ledger import Ledger
from chain.proof import LogProof
from chain.transactions import parse_transaction
from gateway.access_log import opened_entry
from gateway.access_receipt_format import FORMAT, AccessReceipt, LoggedAccess
from gateway.disclosure import REFUSAL
from gateway.errors import Forbidden
from gateway.finality_format import logged, shown
from gateway.index import accesses, archives
from gateway.index.accesses import AccessRow
from gateway.index.parties import Party
from gateway.receipt_json import Hash, Raw
from gateway.receipts import NotYetFinal
from gateway.services import Services
from gateway.vault.errors import LeafMismatch


def assemble_access_receipt(
    services: Services, ledger: Ledger, asking: Party, sequence: int, start: int = 0
) -> AccessReceipt | NotYetFinal:
    """The receipt of the access of that number; `start` as in `chain.prover`.

    Forbidden, in the words of every refusal, unless it is `asking`'s or of its archive.
    LeafMismatch where the database is not what the ledger bears out.
    """
    with services.index.reading() as connection:
        row = accesses.find(connection, sequence)
        if row is None or not _concerns(connection, asking, row):
            raise Forbidden(REFUSAL)
        if row.batch is None:
            return NotYetFinal("the access is in no batch yet")
        place = ledger.access_batch_of(services.gateway, sequence)
        if place is None:
            return NotYetFinal("the batch of the access is not final yet")
        batch = ledger.prove(place, start=start)
        access = _logged(services, connection, row, row.batch, batch)
    return AccessReceipt(
        format=FORMAT,
        chain_id=Hash(ledger.genesis.chain_id),
        access=access,
        batch=logged(batch),
        **shown(batch),
    )


def _concerns(connection: Connection, asking: Party, row: AccessRow) -> bool:
    if asking.row == row.party:
        return True
    return asking.archive is not None and row.archive in archives.groups_of(connection, [asking.archive])[asking.archive]


def _logged(services: Services, connection: Connection, row: AccessRow, last: int, batch: LogProof) -> LoggedAccess:
    entry, salt = opened_entry(services, connection, row)
    entries = accesses.leaves_of_batch(connection, last)
    leaves = [leaf for _, leaf in entries]
    body = parse_transaction(batch.transaction).body
    if getattr(body, "root", None) != merkle.root(leaves):
        raise LeafMismatch(f"access batch {last}", "its rows are not those that the ledger has")
    index = [number for number, _ in entries].index(row.sequence)
    return LoggedAccess(Raw(entry), Raw(salt), index, tuple(map(Hash, merkle.inclusion_path(leaves, index))))
