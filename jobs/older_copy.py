"""Noticing at the start that gateway.db is an older copy than ledger.db: it would give out the ids of anchored records once more.

A gateway that was restored from a backup beside a newer ledger skipped those ids, and says so in its database.

Every ANCHOR comes from a row of the database, so the newest ones of the ledger must be there.
"""

from chain.ledger import Ledger
from chain.transactions import AnchorBody, parse_transaction
from gateway.errors import GatewayError
from gateway.index import containers, restores
from gateway.index.database import Index
from gateway.wording import counted

_LOOK_BACK = 1000  # blocks; heartbeats among them hold no ANCHOR


class OlderCopy(GatewayError):
    """The database lacks containers that the ledger has anchored."""


def refuse_older_copy(ledger: Ledger, index: Index) -> None:
    """Raises OlderCopy unless the database knows what the newest block with an ANCHOR records."""
    head = ledger.height()
    for height in range(head, max(0, head - _LOOK_BACK), -1):
        block = ledger.block(height)
        bodies = [parse_transaction(raw).body for raw in block.transactions] if block else []
        digests = [body.digest for body in bodies if isinstance(body, AnchorBody)]
        if digests:
            with index.reading() as connection:
                lost = restores.losses(connection)
                missing = [digest for digest in digests if containers.by_digest(connection, digest) is None]
            missing = [digest for digest in missing if not lost.has_recorded(ledger.anchor_of(digest) or 0)]
            if missing:
                raise OlderCopy(
                    f"gateway.db lacks {len(missing)} of {counted(len(digests), 'containers')} that block {height} anchors:"
                    " it is an older copy than ledger.db and would give out ids a second time."
                    " Put back the newest gateway.db, or `backup restore` with --ledger"
                )
            return
