"""A gateway with delegates that are elected, whose slots a test calls."""

import json
import os
import time

from click.testing import CliRunner

from chain.engine import EmbeddedEngine
from chain.ledger import Ledger
from chain.store import LedgerStore
from chain.transactions import AnchorBody
from gateway import founding
from gateway.bootstrap import open_services
from gateway.cli import main
from gateway.index import outbox
from gateway.key_files import delegate_key_paths, read_key
from gateway.settings import load_settings
from jobs.produce_blocks import BlockProduction
from jobs.scheduler import switch_of


class LedgerHome:
    """A gateway with epochs of two blocks, whose jobs process is called slot by slot."""

    def __init__(self, folder):
        self.path, self.slot = folder / "gw", 0
        self.genesis = founding.found(self.path, delegates=4, slot_seconds=1, chosen={}, now=int(time.time()), random=os.urandom)
        self.settings = load_settings(self.path, {})
        self.services = open_services(self.settings)
        self.ledger = Ledger.open(self.settings.effective_ledger_url, self.genesis)
        self.holder = self.path / "keys" / "stake.json"
        with self.services.index.atomic() as connection:  # what its founding put in line: the delegates' cosigning keys
            outbox.done(connection, [row.id for row in outbox.pending(connection, from_outside=True)])

    def run(self, *arguments, code=0):
        result = CliRunner().invoke(main, ["--home", str(self.path), "ledger", *map(str, arguments)])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def told(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def produce(self, blocks):
        """Opens the engine anew, as a start of `serve` does."""
        store = LedgerStore.open(self.settings.effective_ledger_url, self.genesis)
        keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(self.settings.keys_path)]
        engine = EmbeddedEngine.open(store, self.genesis, keys, switch=switch_of(load_settings(self.path)))
        production = BlockProduction(
            self.services.index,
            engine,
            Ledger(store, self.genesis),
            read_key(self.path / "keys" / "gateway.json"),
            [key for key, _ in keys],
        )
        upto = self.ledger.height() + blocks
        while self.ledger.height() < upto:
            self.slot += 1
            production.produce(self.genesis.slot_time(self.slot))
            with self.services.index.atomic() as connection:
                outbox.add(connection, AnchorBody(os.urandom(32), 1, os.urandom(32), 1, 1), 0)
        engine.close()
        store.close()

    def names(self, state):
        return {one["name"] for one in self.told("delegates")["delegates"] if one[state]}

    def close(self):
        self.ledger.close()
        self.services.index.close()
