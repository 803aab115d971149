"""A container sealed again with the right keys, and wrongly: what only someone could anchor who holds the gateway's keys and its signature."""

import os
import sqlite3
from dataclasses import dataclass, field, replace

from audit_case import verifier

from chain.ledger import Ledger
from chain.transactions import AnchorBody, parse_transaction
from gateway.bootstrap import open_services, read_genesis
from gateway.index import containers
from gateway.settings import load_settings
from gateway.vault.container import build_container, read_table
from gateway.vault.directory import STATEMENT_CLASS
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.seal import RecordToSeal, seal_bundle
from gateway.vault.sealed_bundle import read_header
from jobs.audit_content import Anchored, Shard
from jobs.audit_stored_shard import read_stored


@dataclass
class Parts:
    """What a bundle is sealed from. `root` is what the container's table says of it, None for its own."""

    chain_id: bytes
    bundle_id: bytes
    number: int
    statement: bytes
    records: list[RecordToSeal]
    cover: list
    recipient: object
    root: bytes | None = None

    def seal(self):
        sealed = seal_bundle(
            chain_id=self.chain_id, bundle_id=self.bundle_id, number=self.number, statement=self.statement, records=self.records,
            cover=self.cover, recipients=[self.recipient], random=os.urandom,
        )  # fmt: skip
        return replace(sealed, root=self.root or sealed.root)


@dataclass
class Resealing:
    """The first container of a home: `parts` of each bundle, to be changed; `audit` seals, stores and anchors them."""

    home: object
    parts: list[Parts] = field(default_factory=list)
    anchor: dict = field(default_factory=dict)  # changes to what is anchored
    index: int = 0  # of the ANCHOR in the log
    checked: dict = field(default_factory=dict)  # what the last audit counted

    def __post_init__(self):
        self.settings = load_settings(self.home, {})
        self.services = open_services(self.settings)
        ledger = Ledger.open(self.settings.effective_ledger_url, read_genesis(self.settings))
        with self.services.index.reading() as connection:
            self.row = containers.after(connection, 0, 1)[0]
        stored = read_stored(self.services.index, [self.row.digest])
        self.bundles = sorted(stored.bundles[self.row.digest], key=lambda bundle: bundle.ordinal)
        self.index = ledger.anchor_of(self.row.digest)
        assert isinstance(parse_transaction(ledger.prove(self.index).transaction).body, AnchorBody)
        ledger.close()
        body = self.services.store.get(self.row.name)
        for slot, bundle in zip(read_table(lambda at, n: body[at : at + n], len(body)), self.bundles, strict=True):
            self.parts.append(self._parts(slot.reader(lambda at, n: body[at : at + n]), stored.archives[bundle.archive].keys))

    def _parts(self, read, keys):
        header = read_header(read)
        opened = OpenedBundle(read, header, unwrap_bundle_key(header, self.services.keyring.private_key(keys)))
        records = [
            RecordToSeal(batch.class_name, *columns)
            for class_, batch in opened.batches()
            if batch.class_name != STATEMENT_CLASS
            for columns in zip(batch.ids, batch.versions, batch.bodies, batch.index_rows, class_.entries(batch), strict=True)
        ]
        cover = opened.submission_cover()
        statement = opened.statement().body
        return Parts(header.chain_id, header.bundle_id, opened.directory.number, statement, records, cover, keys.public_key)

    def change(self, bundle, record, **changes):
        """Another record in place of one."""
        records = self.parts[bundle].records
        records[record] = RecordToSeal(**{name: getattr(records[record], name) for name in RecordToSeal.__dataclass_fields__} | changes)

    def audit(self):
        """The findings on this container alone, were it anchored as it is now; the database's places follow it."""
        made = build_container([parts.seal() for parts in self.parts])
        self.services.store.put_if_absent(made.name, made.body)
        database = sqlite3.connect(self.home / "gateway.db")
        with database:
            kept = (made.digest, len(made.body), made.root, self.row.row)
            database.execute("UPDATE container SET digest = ?, size = ?, root = ? WHERE row = ?", kept)
            for slot, bundle in zip(made.slots, self.bundles, strict=True):
                database.execute("UPDATE bundle SET offset = ?, length = ? WHERE row = ?", (slot.offset, slot.length, bundle.row))
        database.close()
        fields = {"digest": made.digest, "size": len(made.body), "root": made.root, "bundles": len(made.slots), "leaves": made.leaf_count}
        anchored = Anchored(AnchorBody(**fields | self.anchor), self.index)
        report = verifier(self.home)(Shard((anchored,), 1))
        assert report.could_not_check == ()
        self.checked = report.checked
        return report.findings
