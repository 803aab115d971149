"""Assembling a record's receipt from what is stored: its sealed bundle, its container's table, the ledger. docs/design/receipt.md.

What all receipts of a bundle share (statement, paths of the bundle, ANCHOR, header, votes, issuer) is put together once and kept for a
while; it holds no key and no record. Per receipt, the record's own segment is opened with keys that live as long as the call.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Literal, NamedTuple

from chain import merkle
from chain.block import Header
from chain.ledger import Ledger
from chain.proof import LogProof
from chain.transactions import AnchorBody, PartyBody, parse_transaction
from gateway.receipt_format import FORMAT, Bundle, Hash, LoggedTransaction, Raw, Receipt, Record, Statement, sided
from gateway.storage.port import ObjectStore
from gateway.vault import container, submission
from gateway.vault.container import BundleSlot
from gateway.vault.cover import CoverNode, path_of
from gateway.vault.errors import LeafMismatch, SealBroken
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.primitives import WrapPrivateKey
from gateway.vault.sealed_bundle import Read, read_header

KEPT_BUNDLES = 64  # one of 6,000 records keeps about 100 kB


class NotYetFinal(NamedTuple):
    """There is no receipt yet: the record is stored, and what it needs of the ledger is on its way."""

    reason: str


class Place(NamedTuple):
    """Where one version of a record lies."""

    container_digest: bytes
    container_size: int  # bytes
    ordinal: int  # of its bundle in the container
    leaf: int  # of the record in the bundle


class _Shared(NamedTuple):
    """What all receipts of one bundle have in common. `cover` has the nodes over each segment of records, by its first leaf."""

    slot: BundleSlot
    size: int  # leaves in the bundle
    cover: tuple[tuple[int, tuple[CoverNode, ...]], ...]
    bundle: Bundle
    anchor: LoggedTransaction
    header: Raw
    votes: tuple[tuple[int, Raw], ...]
    statement: Statement
    issuer: LoggedTransaction | Literal["genesis"]


class ReceiptAssembler:
    """Makes receipts from one ledger and one bucket. Safe for several threads."""

    def __init__(self, ledger: Ledger, store: ObjectStore) -> None:
        self._ledger = ledger
        self._store = store
        self._kept: OrderedDict[tuple[bytes, int], _Shared] = OrderedDict()
        self._lock = Lock()

    def assemble(self, place: Place, key: WrapPrivateKey) -> Receipt | NotYetFinal:
        """The full receipt of the record at `place`, whose archive's private key is `key`.

        Raises SealBroken (LeafMismatch, WrongKey), ObjectMissing, Unavailable: what is stored is damaged or out of reach.
        """
        read = self._reader(place.container_digest)
        shared = self._remembered(place)
        if shared is None:
            index = self._ledger.anchor_of(place.container_digest)
            if index is None:
                return NotYetFinal("the record's anchor is not final yet")
            made = self._put_together(place, read, key, self._ledger.prove(index))
            if isinstance(made, NotYetFinal):
                return made
            shared = made
        return self._receipt(shared, _open(shared.slot, read, key), place.leaf)

    def _reader(self, container_digest: bytes) -> Read:
        name = container.container_name(container_digest)
        return lambda offset, length: self._store.get_range(name, offset, length)

    def _remembered(self, place: Place) -> _Shared | None:
        with self._lock:
            shared = self._kept.get((place.container_digest, place.ordinal))
            if shared is not None:
                self._kept.move_to_end((place.container_digest, place.ordinal))
            return shared

    def _put_together(self, place: Place, read: Read, key: WrapPrivateKey, anchor: LogProof) -> _Shared | NotYetFinal:
        slots = container.read_table(read, place.container_size)
        roots = [slot.root for slot in slots]
        _check_anchored(roots, anchor)
        opened = _open(slots[place.ordinal], read, key)
        opened.check_root(roots[place.ordinal])
        stated = opened.statement()
        issuer = self._issuer(submission.Statement.parse(stated.body), anchor)
        if issuer is None:
            return NotYetFinal("the registration of the record's issuer is not final yet")
        shared = _Shared(
            slots[place.ordinal],
            opened.leaf_count,
            tuple(_cover(opened)),
            Bundle(place.ordinal, len(slots), tuple(map(Hash, container.bundle_path(roots, place.ordinal)))),
            _logged(anchor),
            Raw(anchor.header),
            tuple((vote.delegate, Raw(vote.signature)) for vote in anchor.votes),
            Statement(Raw(stated.body), Raw(stated.salt), sided(opened.path(0), 0, opened.leaf_count)),
            issuer,
        )
        with self._lock:
            self._kept[place.container_digest, place.ordinal] = shared
            while len(self._kept) > KEPT_BUNDLES:
                self._kept.popitem(last=False)
        return shared

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
                return _logged(party)
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
            header=shared.header,
            votes=shared.votes,
            handovers=(),
            statement=shared.statement,
            issuer=shared.issuer,
        )


def _check_anchored(roots: Sequence[bytes], anchor: LogProof) -> None:
    """What the container's table says in clear is believed only as far as the ledger bears it out."""
    body = parse_transaction(anchor.transaction).body
    assert isinstance(body, AnchorBody)
    if (len(roots), container.container_root(roots)) != (body.bundles, body.root):
        raise SealBroken("container table", "its bundles are not those that were anchored")


def _open(slot: BundleSlot, read: Read, key: WrapPrivateKey) -> OpenedBundle:
    within = slot.reader(read)
    header = read_header(within)
    return OpenedBundle(within, header, unwrap_bundle_key(header, key))


def _cover(opened: OpenedBundle) -> Iterator[tuple[int, tuple[CoverNode, ...]]]:
    for entry in opened.directory.classes:
        part = opened.opened_class(entry.name).part
        for (first_leaf, _), nodes in zip(part.ranges, part.nodes(), strict=True):
            yield first_leaf, tuple(nodes)


def _logged(proof: LogProof) -> LoggedTransaction:
    return LoggedTransaction(Raw(proof.transaction), proof.index, tuple(map(Hash, proof.path)))


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
