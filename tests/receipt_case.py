"""A genuine receipt, made with the real formats and keys but without a running gateway: what the verifiers' tests start from."""

import hashlib
import itertools
from typing import NamedTuple

from msgspec.structs import replace

from chain import merkle
from chain.block import Header, block_hash, sign_vote
from chain.delegate_set import DelegateSet
from chain.genesis import Delegate, Genesis, Stake, make_genesis
from chain.keys import SigningKey
from chain.transactions import AnchorBody, PartyAction, PartyBody, Role, sign_transaction
from gateway.finality_format import Handover, LoggedTransaction
from gateway.index.index_row import FORMAT, IndexRow, index_row
from gateway.index.resource_types import NUMBER_OF
from gateway.receipt_format import Bundle, Receipt, Record, Statement, sided
from gateway.receipt_json import Hash, Raw
from gateway.vault import primitives, submission
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.primitives import WrapPrivateKey, WrapSuite
from gateway.vault.seal import RecordToSeal, seal_bundle
from gateway.vault.sealed_bundle import read_header
from gateway.vault.segments import EntryRow

CLIENT_ID = "general-hospital-0a1b2c3d"
NAME = "General Hospital"
NOW = 1_790_000_000
SIGNING_SEED, ATTESTATION_SEED = b"i" * 32, b"a" * 32
RECORDS = (7, 5, 2)  # records in each of the container's bundles


class Case(NamedTuple):
    genesis: bytes
    receipt: Receipt
    record: bytes


def key(name):
    return SigningKey.from_seed(hashlib.sha256(name.encode()).digest())


GATEWAY = key("gateway")


def random_from(seed):
    numbers = itertools.count()
    return lambda n: hashlib.shake_256(seed + next(numbers).to_bytes(8, "big")).digest(n)


def genesis_bytes(delegates=4, network="test", parties=(), seats=0):
    return make_genesis(
        network=network,
        started_at=NOW - 1000,
        slot_seconds=2,
        epoch_blocks=100,
        heartbeat_slots=30,
        delegates=tuple(Delegate(f"delegate {i}", key(f"delegate {i}").public) for i in range(delegates)),
        parties=(PartyBody(PartyAction.REGISTER, "gateway", "The gateway", Role.GATEWAY, GATEWAY.public, None), *parties),
        seats=seats,
        stakes=(Stake("holder", key("holder").public, 1000),) if seats else (),
    )


def record_body(number):
    meta = '"meta":{"versionId":"1","lastUpdated":"2026-09-21T00:00:00Z"}'
    return f'{{"resourceType":"Observation","id":"{number:032x}",{meta},"status":"final","valueQuantity":{{"value":{number}.50}}}}'.encode()


def party_body(client_id=CLIENT_ID, action=PartyAction.REGISTER, keys=(SIGNING_SEED, ATTESTATION_SEED)):
    return PartyBody(action, client_id, NAME, Role.INSTITUTION, *(seed and primitives.ed25519_public(seed) for seed in keys))


def statement_bytes(tree, signed_by, seed=None, iat=NOW, **changes):
    seed = seed or (SIGNING_SEED if signed_by == "issuer" else ATTESTATION_SEED)
    jws = submission.sign(seed, client_id=CLIENT_ID, iat=iat, count=tree.count, root=tree.root)
    fields = {"count": tree.count, "issuer": CLIENT_ID, "media_type": "application/fhir+json", "received_at": NOW + 1}
    return submission.Statement(**{**fields, "root": tree.root.hex(), "signature": jws, "signed_by": signed_by, **changes}).to_bytes()


def sealed_bundles(*, chain_id, statement, tree, raw_entries, recipient, random, body_of=None):
    entry, bundles = 0, []
    for number, count in enumerate(RECORDS):
        own = range(entry, entry + count)
        records = [
            RecordToSeal(
                f"Observation/{'laboratory' if i % 2 else 'vital-signs'}",
                i.to_bytes(16, "big"),
                1,
                (body_of or record_body)(i),
                index_row(IndexRow(FORMAT, i, NUMBER_OF["Observation"], 1, 0, 1, 0, None, None, bytes(8), (), ())),
                EntryRow(i, tree.salts[i], raw_entries[i]),
            )
            for i in own
        ]
        bundles.append(
            seal_bundle(
                chain_id=chain_id, bundle_id=random(16), number=number, statement=statement, records=records,
                cover=tree.tree.cover(list(own)), recipients=[recipient], random=random,
            )
        )  # fmt: skip
        entry += count
    return bundles


def make_case(
    signed_by="issuer", *, delegates=4, bundle=1, record=3, log_before=5, genesis=None, party=None, signers=(GATEWAY, GATEWAY),
    statement=None, header=None, anchor=None, voters=None, misplaced=False, respell=None, sets=(), body_of=None,
):  # fmt: skip
    """Record number `record` of bundle number `bundle` of a container of three, anchored in a log with `log_before` other transactions.

    `signers` sign the issuer's PARTY and the ANCHOR; `statement`, `header` and `anchor` change fields before they are sealed and signed.
    `sets` are those that acted one after the other since the genesis's: lists of keys. With `misplaced` every record is the statement,
    and the statement is none; `respell` changes the statement's bytes. `body_of` makes other records, of their numbers.
    """
    random = random_from(b"case")
    genesis_file = genesis or genesis_bytes(delegates)
    genesis = Genesis.parse(genesis_file)
    raw_entries = [b'{"resource":%s}' % record_body(i) for i in range(sum(RECORDS))]
    tree = submission.SubmissionTree(raw_entries, random(32))
    stated = (respell or bytes)(statement_bytes(tree, signed_by, **(statement or {})))
    recipient = WrapPrivateKey(WrapSuite.X25519, b"p" * 32)
    bundles = sealed_bundles(
        chain_id=genesis.chain_id, statement=b"{}" if misplaced else stated, tree=tree, raw_entries=raw_entries, recipient=recipient.public,
        random=random, body_of=(lambda _: stated) if misplaced else body_of,
    )  # fmt: skip
    roots = [merkle.leaf_hash(sealed.root) for sealed in bundles]
    counts = {"digest": random(32), "size": 1234, "bundles": len(bundles), "leaves": sum(sealed.leaf_count for sealed in bundles)}
    bodies = [party or party_body(), *(AnchorBody(random(32), 9, random(32), 1, 2) for _ in range(log_before - 1))]
    bodies.append(AnchorBody(**{**counts, "root": merkle.root(roots), **(anchor or {})}))
    keys = [signers[0], *[GATEWAY] * (log_before - 1), signers[1]]
    log = [sign_transaction(body, 100, key, genesis.chain_id).raw for body, key in zip(bodies, keys, strict=True)]
    opened, leaf = open_leaf(bundles[bundle], recipient, record)
    handovers, acting = handovers_to(genesis, sets)
    head, votes = finalize(genesis, log, voters, acting, **{"height": 100 * len(sets) + 3, **(header or {})})
    receipt = receipt_of(genesis, opened, leaf, bundle=bundle, roots=roots, log=log, header=head, votes=votes)
    return Case(
        genesis_file,
        replace(receipt, handovers=handovers),
        opened.record(leaf).body,
    )


def open_leaf(sealed, recipient, record):
    def read(offset, length):
        return sealed.body[offset : offset + length]

    header = read_header(read)
    return OpenedBundle(read, header, unwrap_bundle_key(header, recipient)), sealed.placements[record]


def members_of(count, name="delegate"):
    return [key(f"{name} {i}") for i in range(count)]


def handovers_to(genesis, sets):
    """The handovers that end the first epochs, from the genesis's delegates through `sets`, and who acts then."""
    handovers, acting = [], members_of(len(genesis.delegates))
    for epoch, following in enumerate(sets, 1):
        handovers.append(handover(genesis, acting, following, epoch=epoch))
        acting = following
    return tuple(handovers), acting


def handover(genesis, acting, following, *, epoch=1, delegates=None, signers=None, **changes):
    """`changes` are of the header, before it is voted for; `delegates` are told in place of `following`."""
    hash_ = DelegateSet.of(genesis.chain_id, [member.public for member in following]).hash
    fields = {"height": 100 * epoch, "next_delegates_hash": hash_, **changes}
    header, votes = finalize(genesis, [], signers, acting, **fields)
    told = [member.public for member in following] if delegates is None else delegates
    return Handover(Raw(header), tuple((i, Raw(signature)) for i, signature in votes), tuple(map(Hash, told)))


def finalize(genesis, log, signers=None, members=None, **changes):
    members = members or members_of(len(genesis.delegates))
    acting = DelegateSet.of(genesis.chain_id, [member.public for member in members])
    leaves = [merkle.leaf_hash(raw) for raw in log]
    fields = {
        "version": 1, "chain_id": genesis.chain_id, "height": 3, "slot": 600, "time": genesis.slot_time(600), "previous": bytes(32),
        "log_size": len(log), "log_root": merkle.root(leaves), "state_root": bytes(33), "delegates_hash": acting.hash,
        "next_delegates_hash": acting.hash, "producer": acting.keys[0], "voters": b"\x0e",
    }  # fmt: skip
    fields.update(changes)
    header = Header(**fields).to_bytes()
    hash_ = block_hash(genesis.chain_id, header)
    signers = signers or range(len(members) - acting.quorum, len(members))
    return header, [(i, sign_vote(members[i], genesis.chain_id, fields["height"], hash_)) for i in signers]


def receipt_of(genesis, opened, leaf, *, bundle, roots, log, header, votes):
    record, stated, size = opened.record(leaf), opened.statement(), opened.leaf_count
    return Receipt(
        format="fhir-anchor receipt 1",
        chain_id=Hash(genesis.chain_id),
        record=Record(
            f"Observation/{record.id.hex()}/_history/1", Hash(record.commitment), sided(opened.path(leaf), leaf, size), Raw(record.salt)
        ),
        bundle=Bundle(bundle, len(roots), tuple(map(Hash, merkle.inclusion_path(roots, bundle)))),
        anchor=logged(log, len(log) - 1),
        header=Raw(header),
        votes=tuple((i, Raw(signature)) for i, signature in votes),
        handovers=(),
        statement=Statement(Raw(stated.body), Raw(stated.salt), sided(opened.path(0), 0, size)),
        issuer=logged(log, 0),
    )


def logged(log, index):
    return LoggedTransaction(Raw(log[index]), index, tuple(map(Hash, merkle.inclusion_path([merkle.leaf_hash(raw) for raw in log], index))))
