"""A small chain with the outbox that it is fed from, and the job of each slot between them."""

import databases
from chain_case import GATEWAY, SmallChain, anchor
from structlog.testing import capture_logs

from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.index import outbox
from gateway.index.database import open_index
from gateway.vault.keyring import Keyring
from jobs.produce_blocks import BlockProduction

KEYRING = Keyring(bytes(range(32)))


class ChainWithOutbox(SmallChain):
    """A chain with its outbox and the job of each slot; `marks` is where the watermarks lie."""

    def __init__(self, folder, ledger=None, marks=None, **chain):
        """`folder` has what is not given a folder of its own."""
        self.marks, self.index_url = marks or folder, databases.new_gateway(folder)
        super().__init__(ledger or folder, **chain)

    def open(self, store=LedgerStore):
        super().open(store)
        self.index = open_index(self.index_url, KEYRING)
        self.production = BlockProduction(self.index, self.engine, self.ledger(), GATEWAY)

    def watermark(self, member):
        return self.marks / f"{member.public.hex()[:8]}.watermark"

    def ledger(self):
        """On the engine's own connections, so that no other keeps a file open."""
        return Ledger(self.store, self.genesis)

    def put(self, number):
        with self.index.atomic() as connection:
            outbox.add(connection, anchor(number), 0)

    def slot_job(self):
        """The next slot's work: the block, and what the operator reads."""
        self.slot += 1
        with capture_logs() as logs:
            block = self.production.produce(self.now())
        return block, [(entry["log_level"], entry["event"], entry.get("reason")) for entry in logs if entry["log_level"] != "info"]

    def waiting(self):
        with self.index.reading() as connection:
            return outbox.size(connection) + self.ledger().pending()

    def close(self):
        super().close()
        self.index.close()
