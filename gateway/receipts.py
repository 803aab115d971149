"""Assembling a record's receipt from what is stored: its sealed bundle, its container's table, the ledger. docs/design/receipt.md.

What all receipts of a bundle share (statement, paths of the bundle, ANCHOR, header, votes, issuer) is put together once and kept for a
while; it holds no key and no record. Per receipt, the record's own segment is opened with keys that live as long as the call.
"""

from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import Literal, NamedTuple

from chain import merkle
from chain.block import Header
from chain.ledger import Ledger
from chain.proof import LogProof
from chain.transactions import AnchorBody, PartyBody, parse_transaction
from gateway.finality_format import Final, LoggedTransaction, logged, shown
from gateway.index.records import RecordLocation
from gateway.receipt_format import FORMAT, Bundle, Receipt, Record, Statement, sided
from gateway.receipt_json import Hash, Raw
from gateway.services import Services
from gateway.vault import container, submission
from gateway.vault.container import BundleSlot
from gateway.vault.cover import CoverNode, path_of
from gateway.vault.errors import LeafMismatch, SealBroken
from gateway.vault.opened_bundle import OpenedBundle
from gateway.vault.sealed_bundle import Read

KEPT_BUNDLES = 64  # one of 6,000 records keeps about 100 kB


class NotYetFinal(NamedTuple):
    """There is no receipt yet: the record is stored, and what it needs of the ledger is on its way."""

    reason: str


class _Shared(NamedTuple):
    """What all receipts of one bundle have in common. `cover` has the nodes over each segment of records, by its first leaf."""

    slot: BundleSlot
    size: int  # leaves in the bundle
    cover: tuple[tuple[int, tuple[CoverNode, ...]], ...]
    bundle: Bundle
    anchor: LoggedTransaction
    final: Final
    statement: Statement
    issuer: LoggedTransaction | Literal["genesis"]


class ReceiptAssembler:
    """Makes receipts from what one gateway stores. Safe for several threads; one in each process, so that what it keeps is of use."""

    def __init__(self, services: Services, ledger: Ledger) -> None:
        self._services, self._ledger = services, ledger
        self._kept: OrderedDict[tuple[bytes, int], _Shared] = OrderedDict()
        self._lock = Lock()

    def assemble(self, location: RecordLocation, start: int = 0) -> Receipt | NotYetFinal:
        """The full receipt of the record at `location`; whoever asks has decided that it may be given. `start` as in `chain.prover`.

        Raises SealBroken (LeafMismatch, WrongKey), ObjectMissing, Unavailable: what is stored is damaged or out of reach.
        """
        shared = None if start else self._remembered(location)
        if shared is None:
            index = self._ledger.anchor_of(location.container_digest)
            if index is None:
                return NotYetFinal("the record's anchor is not final yet")
            made = self._put_together(location, self._ledger.prove(index, start=start))
            if isinstance(made, NotYetFinal):
                return made
            shared = made
            if not start:  # what most ask for; the others each have a pin of their own
                self._remember(location, shared)
        opened = self._services.anchored.bundle(location)
        self._services.anchored.record(location, opened)
        return self._receipt(shared, opened, location.leaf)

    def _reader(self, location: RecordLocation) -> Read:
        return lambda offset, length: self._services.store.get_range(location.container_name, offset, length)

    def _remembered(self, location: RecordLocation) -> _Shared | None:
        bundle = (location.container_digest, location.bundle_ordinal)
        with self._lock:
            if bundle in self._kept:
                self._kept.move_to_end(bundle)
            return self._kept.get(bundle)

    def _remember(self, location: RecordLocation, shared: _Shared) -> None:
        with self._lock:
            self._kept[location.container_digest, location.bundle_ordinal] = shared
            while len(self._kept) > KEPT_BUNDLES:
                self._kept.popitem(last=False)

    def _put_together(self, location: RecordLocation, anchor: LogProof) -> _Shared | NotYetFinal:
        slots, ordinal = _anchored_slots(self._reader(location), anchor), location.bundle_ordinal
        opened = self._services.anchored.bundle(location)
        opened.check_root(slots[ordinal].root)
        stated = opened.statement()
        issuer = self._issuer(submission.Statement.parse(stated.body), anchor)
        if issuer is None:
            return NotYetFinal("the registration of the record's issuer is not final yet")
        return _Shared(
            slots[ordinal],
            opened.leaf_count,
            tuple(_cover(opened)),
            Bundle(ordinal, len(slots), tuple(map(Hash, container.bundle_path([slot.root for slot in slots], ordinal)))),
            logged(anchor),
            shown(anchor),
            Statement(Raw(stated.body), Raw(stated.salt), sided(opened.path(0), 0, opened.leaf_count)),
            issuer,
        )

    def _issuer(self, statement: submission.Statement, anchor: LogProof) -> LoggedTransaction | Literal["genesis"] | None:
        """The issuer's PARTY transaction, whose key signed the statement (not always the latest), in the log of the ANCHOR's header."""
        if any(party.client_id == statement.issuer for party in self._ledger.genesis.parties):
            return "genesis"
        height = Header.from_bytes(anchor.header).height
        for index in reversed(self._ledger.party_history(statement.issuer)):
            if index > anchor.index:
                continue
            party = self._ledger.prove(index, at_height=height)
            if _is_signed_by(statement, party.transaction):
                return logged(party)
        return None

    def _receipt(self, shared: _Shared, opened: OpenedBundle, leaf: int) -> Receipt:
        batch = opened.opened_class(opened.directory.class_of(leaf).name).batch_of(leaf)
        cover = [
            node
            for first_leaf, nodes in shared.cover
            for node in ([CoverNode(1, leaf_hash) for leaf_hash in batch.leaf_hashes] if first_leaf == batch.first_leaf else nodes)
        ]
        record, path = batch.record(leaf), path_of(cover, leaf)
        if merkle.root_from_path(merkle.leaf_hash(record.commitment), leaf, shared.size, path) != shared.slot.root:
            raise LeafMismatch("bundle", "a record's path does not lead to its root")
        reference = f"{record.class_name.partition('/')[0]}/{record.id.hex()}/_history/{record.version}"
        return Receipt(
            format=FORMAT,
            chain_id=Hash(self._ledger.genesis.chain_id),
            record=Record(reference, Hash(record.commitment), sided(path, leaf, shared.size), Raw(record.salt)),
            bundle=shared.bundle,
            anchor=shared.anchor,
            statement=shared.statement,
            issuer=shared.issuer,
            **shared.final,
        )


def _anchored_slots(read: Read, anchor: LogProof) -> list[BundleSlot]:
    """The container's table, believed only as far as the ledger bears it out."""
    body = parse_transaction(anchor.transaction).body
    assert isinstance(body, AnchorBody)
    slots = container.read_table(read, body.size)
    if (len(slots), container.container_root([slot.root for slot in slots])) != (body.bundles, body.root):
        raise SealBroken("container table", "its bundles are not those that were anchored")
    return slots


def _cover(opened: OpenedBundle) -> Iterator[tuple[int, tuple[CoverNode, ...]]]:
    for entry in opened.directory.classes:
        part = opened.opened_class(entry.name).part
        for (first_leaf, _), nodes in zip(part.ranges, part.nodes(), strict=True):
            yield first_leaf, tuple(nodes)


def _is_signed_by(statement: submission.Statement, party_transaction: bytes) -> bool:
    party = parse_transaction(party_transaction).body
    assert isinstance(party, PartyBody)
    key = party.signing_key if statement.signed_by == "issuer" else party.attestation_key
    if key is None:
        return False
    try:
        statement.verify(key)
    except submission.SubmissionInvalid:
        return False
    return True
