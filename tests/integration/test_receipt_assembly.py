"""Receipts from what a gateway stores: made over a real ledger, bucket and container, verified by both verifiers."""

import itertools
from dataclasses import replace

import pytest
from receipt_case import CLIENT_ID, RECORDS, party_body, random_from, record_body, sealed_bundles, statement_bytes

from chain.engine import EmbeddedEngine
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.merkle import ProofError
from chain.stake import VoteBody, register
from chain.store import LedgerStore
from chain.transactions import AnchorBody, PartyAction, sign_transaction
from chain.watermark import create_watermark
from gateway import founding, independent, verification
from gateway.bootstrap import open_services
from gateway.founding import found
from gateway.index import archives, containers
from gateway.index.records import RecordLocation
from gateway.key_files import delegate_key_paths, read_key, write_key
from gateway.proof_format import finality_of
from gateway.proof_verification import pin_from
from gateway.receipt_json import to_json
from gateway.receipts import NotYetFinal, ReceiptAssembler
from gateway.settings import load_settings
from gateway.vault.container import build_container
from gateway.vault.errors import SealBroken
from gateway.vault.submission import SubmissionTree
from gateway.verifiers import checker

STARTED = 1_790_000_000


class PlainIds:
    """Ids that are row numbers in clear, as the records of the case have them."""

    def encode(self, rows):
        return [f"{row:032x}" for row in rows]


class Chain:
    """A gateway's home with a ledger that makes a block when told to."""

    def __init__(self, home):
        random = random_from(b"assembly")
        found(home, delegates=4, slot_seconds=2, chosen={}, now=STARTED, random=random)
        self.genesis_bytes = (home / "genesis.json").read_bytes()
        self.genesis = Genesis.parse(self.genesis_bytes)
        settings = load_settings(home, {})
        opened = open_services(settings, random)
        self.services = replace(opened, ids=PlainIds())
        self._key = read_key(home / "keys" / "gateway.json")
        url = settings.effective_ledger_url
        self._store = LedgerStore.open(url, self.genesis)
        keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(home / "keys")]
        self._engine = EmbeddedEngine.open(self._store, self.genesis, keys)
        self.ledger = Ledger.open(url, self.genesis)
        self.archive = archives.new(self.services.keyring.new_archive(random))
        with self.services.index.atomic() as connection:
            archives.write_new(connection, [self.archive], STARTED)
        self._now, self._sources = itertools.count(STARTED + 10, 2), itertools.count(1)

    def record(self, *bodies):
        """One block with these transactions."""
        for body in bodies:
            self._engine.submit(sign_transaction(body, 1000, self._key, self.genesis.chain_id).raw, next(self._sources))
        return self._engine.produce(next(self._now))

    def elect(self, name):
        """A new delegate in the place of the genesis's last one; its key is there from now on."""
        folder = self.services.settings.keys_path
        holder, member = read_key(folder / "stake.json"), write_key(folder / f"{name}.json", name, name.encode().ljust(32))
        create_watermark(folder / f"{name}.watermark", self.genesis.chain_id, member.public)
        self._engine.close()
        paths = delegate_key_paths(folder)
        self._engine = EmbeddedEngine.open(self._store, self.genesis, [(read_key(path), path.with_suffix(".watermark")) for path in paths])
        chosen = [member.public, *(delegate.key for delegate in self.genesis.delegates[:3])]
        for body in (register(member, self.genesis.chain_id, holder.public, name), VoteBody(tuple(sorted(chosen)))):
            self._engine.submit(sign_transaction(body, 1000, holder, self.genesis.chain_id).raw, next(self._sources))
        self._engine.produce(next(self._now))

    def put(self, signed_by="issuer", **statement):
        """A container in the bucket and the ANCHOR that it needs."""
        random = random_from(signed_by.encode())
        raw_entries = [b'{"resource":%s}' % record_body(i) for i in range(sum(RECORDS))]
        tree = SubmissionTree(raw_entries, random(32))
        stated = statement_bytes(tree, signed_by, **statement)
        bundles = sealed_bundles(
            chain_id=self.genesis.chain_id,
            statement=stated,
            tree=tree,
            raw_entries=raw_entries,
            recipient=self.archive.keys.public_key,
            random=random,
        )
        container = build_container(bundles)
        self.services.store.put_if_absent(container.name, container.body)
        with self.services.index.atomic() as connection:
            row, _ = containers.next_rows(connection)
            size, leaves = len(container.body), container.leaf_count
            containers.write(
                connection, containers.ContainerRow(row, container.digest, size, container.root, len(bundles), leaves, STARTED)
            )
        anchor = AnchorBody(container.digest, len(container.body), container.root, len(bundles), container.leaf_count)
        return container, [bundle.placements for bundle in bundles], anchor

    def assembler(self):
        return ReceiptAssembler(self.services, self.ledger)

    def locate(self, container, placements, bundle, record):
        slot = container.slots[bundle]
        return RecordLocation(
            row=sum(RECORDS[:bundle]) + record, type="Observation", version=1, deleted=False, issuer=1, updated_ms=0, archive=self.archive.row, container=1,
            container_name=container.name, container_digest=container.digest, bundle_ordinal=bundle, bundle_offset=slot.offset,
            bundle_length=slot.length, leaf=placements[bundle][record],
        )  # fmt: skip

    def close(self):
        self.services.index.close()
        self._engine.close()
        self._store.close()
        self.ledger.close()


@pytest.fixture
def chain(tmp_path):
    made = Chain(tmp_path / "gw")
    yield made
    made.close()


def assert_valid_for_both(chain, receipt, number):
    record = record_body(number)
    first = verification.verify_receipt(to_json(receipt), chain.genesis_bytes, record)
    assert first == independent.verify_receipt(to_json(receipt), chain.genesis_bytes, record)
    return first


@pytest.mark.parametrize(
    ("signed_by", "who"), [("issuer", "in a submission signed by"), ("gateway", "in a submission attested by the gateway for")]
)
def test_every_record_of_a_container_gets_a_receipt_that_verifies(chain, signed_by, who):
    container, placements, anchor = chain.put(signed_by)
    chain.record(party_body())
    chain.record(anchor)
    assembler, number = chain.assembler(), itertools.count()
    for bundle, count in enumerate(RECORDS):
        for record in range(count):
            receipt = assembler.assemble(chain.locate(container, placements, bundle, record))
            verdict = assert_valid_for_both(chain, receipt, next(number))
            assert verdict.who == f"{who} General Hospital"
            assert (verdict.height, verdict.votes, verdict.not_checked) == (2, 3, ())


def test_a_receipt_is_the_same_for_ever_and_from_every_process(chain):
    container, placements, anchor = chain.put()
    chain.record(party_body(), anchor)
    place = chain.locate(container, placements, 1, 2)
    receipt = chain.assembler().assemble(place)
    chain.record(chain.put("gateway")[2])
    chain.record(party_body("another-hospital-00000001", keys=(b"1" * 32, b"2" * 32)))
    again = chain.assembler()
    assert again.assemble(place) == again.assemble(place) == receipt


def test_before_the_anchor_is_final_there_is_no_receipt(chain):
    container, placements, anchor = chain.put()
    assembler, place = chain.assembler(), chain.locate(container, placements, 0, 0)
    assert isinstance(assembler.assemble(place), NotYetFinal)
    chain.record(anchor)
    assert isinstance(assembler.assemble(place), NotYetFinal), "its issuer is not registered"


def test_a_receipt_says_how_the_delegates_came_to_act(tmp_path, monkeypatch):
    """Three containers: before an election, between it and the handover, and after it; each receipt stays as it was."""
    monkeypatch.setattr(founding, "EPOCH_BLOCKS", 2)
    chain = Chain(tmp_path / "gw")
    container, placements, anchor = chain.put()
    chain.record(party_body(), anchor)
    place = chain.locate(container, placements, 1, 2)
    early = chain.assembler().assemble(place)
    chain.elect("delegate-5")
    while chain.ledger.height() < 5:
        chain.record(AnchorBody(bytes([chain.ledger.height()]) * 32, 1, bytes(32), 1, 1))
    later, later_placements, later_anchor = chain.put("gateway")
    chain.record(later_anchor)
    late = chain.assembler().assemble(chain.locate(later, later_placements, 1, 2))
    assert chain.assembler().assemble(place) == early
    assert [len(receipt.handovers) for receipt in (early, late)] == [0, 1]
    for receipt in (early, late):
        verdict = assert_valid_for_both(chain, receipt, 9)
        assert (verdict.votes, verdict.delegates) == (3, 4)
    assert set(late.handovers[0].delegates) == set(chain.ledger.delegates.acting().keys)
    check_from_a_pin(chain, place, early)
    chain.close()


def check_from_a_pin(chain, place, early):
    """What is older than the pin is proven against the pinned block, without the handovers before it."""
    height = chain.ledger.height()
    proof = to_json(finality_of(chain.ledger.prover.finality(height), chain.genesis.chain_id))
    pin = pin_from(proof, chain.genesis_bytes)
    receipt = chain.assembler().assemble(place, start=height)
    assert (receipt.record, receipt.anchor.transaction, receipt.handovers) == (early.record, early.anchor.transaction, ())
    for of in ("first", "independent"):
        assert checker(chain.genesis_bytes, pin, of=of)(to_json(receipt), record_body(9))["height"] == height
        assert checker(chain.genesis_bytes, pin, of=of)(to_json(early), record_body(9))["result"] == "could not check"
    with pytest.raises(ProofError):
        chain.assembler().assemble(place, start=height + 1)


def test_after_a_rotation_the_receipt_still_names_the_keys_that_signed(chain):
    container, placements, anchor = chain.put()
    chain.record(party_body())
    chain.record(anchor)
    chain.record(party_body(action=PartyAction.ROTATE, keys=(b"n" * 32, b"m" * 32)))
    receipt = chain.assembler().assemble(chain.locate(container, placements, 0, 0))
    assert_valid_for_both(chain, receipt, 0)
    assert chain.ledger.party(CLIENT_ID).log_index != receipt.issuer.index


def test_a_rotation_that_came_before_the_anchor_was_final(chain):
    container, placements, anchor = chain.put()
    chain.record(party_body())
    chain.record(party_body(action=PartyAction.ROTATE, keys=(b"n" * 32, b"m" * 32)), anchor)
    receipt = chain.assembler().assemble(chain.locate(container, placements, 2, 1))
    assert_valid_for_both(chain, receipt, 13)


def test_what_was_altered_gives_a_true_receipt_or_none(chain, tmp_path):
    """Some bytes (padding lengths of other classes, sealed entries) are of no matter to a receipt; no other ever makes a false one."""
    container, placements, anchor = chain.put()
    chain.record(party_body(), anchor)
    stored = next((tmp_path / "gw" / "bucket").rglob("*.container"))
    stored.chmod(0o600)
    place, refused = chain.locate(container, placements, 2, 1), 0
    for offset in range(5, len(container.body), 97):
        stored.write_bytes(container.body[:offset] + bytes([container.body[offset] ^ 1]) + container.body[offset + 1 :])
        try:
            assert_valid_for_both(chain, chain.assembler().assemble(place), 13)
        except SealBroken:
            refused += 1
    assert refused > 10


def test_few_bundles_are_kept(chain, monkeypatch):
    monkeypatch.setattr("gateway.receipts.KEPT_BUNDLES", 2)
    container, placements, anchor = chain.put()
    chain.record(party_body(), anchor)
    assembler = chain.assembler()
    for bundle in (0, 1, 2, 0):
        assert assembler.assemble(chain.locate(container, placements, bundle, 0))
    assert len(assembler._kept) == 2
