"""A genuine receipt of an access, made with the real formats and keys but without a running gateway."""

from receipt_case import GATEWAY, NOW, finalize, genesis_bytes, handovers_to, logged, party_body

from chain import merkle
from chain.access_batch import AccessBatchBody
from chain.genesis import Genesis
from chain.transactions import sign_transaction
from gateway.access_receipt_format import AccessReceipt, LoggedAccess
from gateway.consent.access import Access
from gateway.receipt_json import Hash, Raw
from gateway.vault.primitives import access_commitment

GENESIS = genesis_bytes()
SEQUENCES = (4, 5, 9, 11, 12)


def entry_of(sequence):
    records = ((bytes([sequence]) * 16, 1), (bytes([sequence + 1]) * 16, 3))
    return Access("insurer-00000001", "HPAYMT", b"g" * 32, records, sequence, NOW * 1000).to_bytes()


def make_receipt(
    place=2, signer=GATEWAY, sequences=SEQUENCES, entry=None, header=None, other_body=None, genesis_file=GENESIS, sets=(), **changes
):
    """`changes` are of the ACCESS_BATCH; `sets` as in `receipt_case.make_case`."""
    genesis = Genesis.parse(genesis_file)
    entries = [entry_of(sequence) for sequence in sequences]
    entries[place] = entry or entries[place]
    salts = [bytes([at]) * 32 for at in range(len(entries))]
    leaves = [merkle.leaf_hash(access_commitment(genesis.chain_id, salt, body)) for salt, body in zip(salts, entries, strict=True)]
    batch = {"root": merkle.root(leaves), "leaves": len(leaves), "first": sequences[0], "last": sequences[-1]} | changes
    bodies = [party_body(), other_body or AccessBatchBody(**batch), party_body("x-00000001")]
    log = [sign_transaction(body, 100, signer, genesis.chain_id).raw for body in bodies]
    handovers, acting = handovers_to(genesis, sets)
    head, votes = finalize(genesis, log, None, acting, **{"height": 100 * len(sets) + 3, **(header or {})})
    path = tuple(map(Hash, merkle.inclusion_path(leaves, place)))
    return AccessReceipt(
        format="fhir-anchor access receipt 1",
        chain_id=Hash(genesis.chain_id),
        access=LoggedAccess(Raw(entries[place]), Raw(salts[place]), place, path),
        batch=logged(log, 1),
        header=Raw(head),
        votes=tuple((i, Raw(signature)) for i, signature in votes),
        handovers=handovers,
    )
