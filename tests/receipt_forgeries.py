"""Receipts and handovers of a known defect that only delegates or a gateway could have signed."""

import json
from hashlib import sha256, sha512
from typing import NamedTuple

from msgspec.structs import replace
from nacl.bindings import crypto_core_ed25519_add, crypto_scalarmult_ed25519_base_noclamp
from receipt_case import (
    CLIENT_ID,
    GATEWAY,
    NOW,
    SIGNING_SEED,
    finalize,
    genesis_bytes,
    handover,
    key,
    logged,
    make_case,
    members_of,
)

from chain import merkle
from chain.block import Header, block_hash, sign_vote
from chain.encoding import decode, encode
from chain.genesis import Genesis
from chain.keys import TRANSACTION, VOTE, SigningKey, labelled
from chain.transactions import PartyAction, PartyBody, Role
from gateway.receipt_format import Statement
from gateway.receipt_json import Hash, Raw, to_json
from gateway.vault import primitives, submission

IDENTITY = b"\x01" + bytes(31)
ORDER_2 = b"\xec" + b"\xff" * 30 + b"\x7f"
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


class Files(NamedTuple):
    """What a verifier is given; no record where it is None."""

    genesis: bytes
    receipt: bytes
    record: bytes | None


def files(case, **changes):
    return Files(case.genesis, to_json(replace(case.receipt, **changes)), case.record)


def public(given):
    """The receipt for who may not read the record."""
    document = json.loads(given.receipt)
    del document["statement"], document["issuer"], document["record"]["salt"]
    return given._replace(receipt=json.dumps(document, separators=(",", ":")).encode(), record=None)


FIXED, ELECTED = genesis_bytes(), genesis_bytes(seats=7)
FIXED_CHAIN, ELECTED_CHAIN = Genesis.parse(FIXED), Genesis.parse(ELECTED)
FIRST, SEVEN, FOUR = members_of(4), members_of(7, "elected"), [*members_of(3), key("late")]
CASE, HANDED = make_case(genesis=FIXED), make_case(genesis=ELECTED, sets=(SEVEN, FOUR))
ISSUER = PartyBody(PartyAction.REGISTER, CLIENT_ID, "Krankenhaus Süd", Role.INSTITUTION, primitives.ed25519_public(SIGNING_SEED), None)


def signed(fields, signer=GATEWAY, spell=encode):
    """A transaction of any fields 0 to 4, signed over whatever bytes they are spelled with."""
    unsigned = spell(fields)
    signature = signer.sign(TRANSACTION, FIXED_CHAIN.chain_id, unsigned)
    return bytes([unsigned[0] + 1]) + unsigned[1:] + b"\x05\x58\x40" + signature


def with_log(case=CASE, *, party=None, anchor=None, header=None):
    """The receipt with another transaction for its issuer's or its ANCHOR, in a log of the two, voted for."""
    log = [party or bytes(case.receipt.issuer.transaction), anchor or bytes(case.receipt.anchor.transaction)]
    head, votes = finalize(FIXED_CHAIN, log, None, FIRST, **(header or {}))
    changes = {"header": Raw(head), "votes": tuple((i, Raw(one)) for i, one in votes), "anchor": logged(log, 1), "issuer": logged(log, 0)}
    return files(case, **changes)


def forged():
    """What only delegates or a gateway could have signed."""
    anchor, party = (decode(bytes(one.transaction)) for one in (CASE.receipt.anchor, CASE.receipt.issuer))
    anchor.pop(5), party.pop(5)
    raw_header = CASE.receipt.header
    edited_anchor = bytearray(CASE.receipt.anchor.transaction)
    edited_anchor[10] ^= 1
    resigned_anchor = bytearray(CASE.receipt.anchor.transaction)
    resigned_anchor[-2] ^= 1

    def of_anchor(**body):
        return with_log(anchor=signed({**anchor, 2: {**anchor[2], **{int(name[1:]): value for name, value in body.items()}}}))

    def of_party(**body):
        return with_log(party=signed({**party, 2: {**party[2], **{int(name[1:]): value for name, value in body.items()}}}))

    def of_header(**changes):
        return files(make_case(genesis=FIXED, header=changes))

    def of_statement(signed_by="issuer", **changes):
        return files(make_case(signed_by, genesis=FIXED, statement=changes))

    def respelled(old, new):
        return files(make_case(genesis=FIXED, respell=lambda text: text.replace(old, new)))

    return {
        "edited transaction": with_log(anchor=bytes(edited_anchor)),
        "transaction with another signature": with_log(anchor=bytes(resigned_anchor)),
        "transaction of another kind": with_log(anchor=signed({**anchor, 1: 3})),
        "transaction signed by a stranger": with_log(anchor=signed({**anchor, 4: key("stranger").public}, key("stranger"))),
        "transaction signed for another chain": files(CASE, anchor=make_case(genesis=genesis_bytes(network="other")).receipt.anchor),
        "transaction with a field more": with_log(anchor=signed({**anchor, 2: {**anchor[2], 5: 1}})),
        "transaction of another version": with_log(anchor=signed({**anchor, 0: 2})),
        "transaction never valid": with_log(anchor=signed({**anchor, 3: 0})),
        "transaction in CBOR of longer numbers": with_log(anchor=signed(anchor, spell=lambda fields: encode(fields).replace(b"\x03\x18\x64", b"\x03\x19\x00\x64"))),
        "transaction in CBOR with keys out of order": with_log(anchor=signed(anchor, spell=out_of_order)),
        "transaction with bytes after it": with_log(anchor=signed(anchor) + b"\0"),
        "anchor of fewer leaves than bundles": of_anchor(_4=2),
        "anchor of another bundle count": of_anchor(_3=4),
        "anchor of no bytes": of_anchor(_1=0),
        "anchor of too large a number": of_anchor(_1=2**63),
        "identity public key": of_party(_4=IDENTITY),
        "public key of order 2": of_party(_4=ORDER_2),
        "public key of order 8": of_party(_5=ORDER_8),
        "public key that is no point": of_party(_5=b"\x02" + bytes(31)),
        "public key beyond the prime": of_party(_5=b"\xf0" + b"\xff" * 30 + b"\x7f"),
        "public key outside the main subgroup": of_party(_5=plus_order_2(key("any").public)),
        "one public key for both": of_party(_5=party[2][4]),
        "suspended issuer": of_party(_0=2, _4=None, _5=None),
        "issuer without a key": of_party(_4=None, _5=None),
        "issuer without a signing key": of_party(_4=None),
        "issuer with a client id in upper case": of_party(_1="General"),
        "issuer with a line break in the name": of_party(_2="General\nHospital"),
        "issuer with an empty name": of_party(_2=""),
        "issuer with too long a name": of_party(_2="ä" * 201),
        "issuer with a name that is not UTF-8": with_log(party=signed(party, spell=lambda fields: encode(fields).replace(b"General H", b"General \xff"))),
        "issuer of an unknown role": of_party(_3=4),
        "another issuer": of_party(_1="another-hospital"),
        "issuer's key changed": of_party(_4=key("new").public),
        "proof for another size": of_header(log_size=7),
        "odd leaf doubled": odd_leaf_doubled(),
        "log of no transactions": of_header(log_size=0),
        "header of another chain": of_header(chain_id=bytes(32)),
        "header of another version": of_header(version=3),
        "header at height 0": of_header(height=0),
        "header with another time": of_header(time=1),
        "header with a producer that does not act": of_header(producer=key("stranger").public),
        "header with other delegates": of_header(delegates_hash=bytes(32)),
        "header changed after the votes": files(CASE, header=Raw(raw_header[:-1] + b"\x0f")),
        "a vote too many": files(make_case(genesis=FIXED, voters=range(4))),
        "signed by a stranger in a delegate's name": voted_by([key("stranger"), *FIRST[1:]], (0, 1, 2)),
        "vote with S not reduced": unreduced_vote(),
        "vote with R outside the main subgroup": vote_with(r=12345, torsion=ORDER_8),
        "vote with R the identity": vote_with(r=0),
        "header cut short": voted_for(lambda head: head[:-1]),
        "header with a byte after it": voted_for(lambda head: head + b"\0"),
        "header with a field of another number": voted_for(lambda head: head[:-3] + b"\x0d" + head[-2:]),
        "handover of fixed delegates": files(make_case(genesis=FIXED, sets=(FOUR,))),
        "statement that is not canonical": respelled(b',"format"', b', "format"'),
        "statement with escaped letters": respelled(b"fhir+json", b"\\u0066hir+json"),
        "statement with a field more": respelled(b'"count"', b'"a":1,"count"'),
        "statement of another format": respelled(b"submission 1", b"submission 2"),
        "statement signed by nobody known": respelled(b'"signed_by":"issuer"', b'"signed_by":"nobody"'),
        "statement said to be attested": respelled(b'"signed_by":"issuer"', b'"signed_by":"gateway"'),
        "statement with another count": of_statement(count=13),
        "statement with another root": of_statement(root="00" * 32),
        "statement received too late": of_statement(received_at=NOW + 601),
        "statement received too early": of_statement(received_at=NOW - 601),
        "statement of no entries": stated(count=0),
        "statement of too many entries": stated(count=2**53),
        "statement received at second 0": stated(received_at=0, iat=0),
        "statement with a root in upper case": stated(root=b"\xab" * 32, told={"root": "AB" * 32}),
        "statement that is not UTF-8": respelled(b"fhir+json", b"fhir+\xff\xff"),
        "JWS from before the epoch": stated(received_at=1, iat=-1),
        "JWS of another algorithm": of_statement(signature=jws(head={"alg": "none", "kid": CLIENT_ID})),
        "JWS with a header more": of_statement(signature=jws(head={"alg": "EdDSA", "kid": CLIENT_ID, "b64": True})),
        "JWS with a claim more": of_statement(signature=jws(more={"aud": "x"})),
        "JWS with a time that is no whole number": of_statement(signature=jws(more={"iat": NOW + 0.5})),
        "JWS without its third part": of_statement(signature="e30.e30"),
        "record is the statement": files(make_case(genesis=FIXED, misplaced=True)),
    }  # fmt: skip


def stated(*, count=1, received_at=NOW, iat=NOW, root=bytes(32), told=None):
    """A statement of these values, which its signature covers; `told` says some of them in another way."""
    signature = submission.sign(SIGNING_SEED, client_id=CLIENT_ID, iat=iat, count=count, root=root)
    fields = {"count": count, "received_at": received_at, "root": root.hex(), "signature": signature}
    return files(make_case(genesis=FIXED, statement={**fields, **(told or {})}))


def not_the_record():
    """Without a record: receipts for a leaf that is none, or with a statement that is not where a statement belongs."""
    statement, misplaced = CASE.receipt.statement, make_case(genesis=FIXED, misplaced=True)
    of_statement = Hash(primitives.commitment(statement.salt, statement.bytes))
    first = replace(CASE.receipt.record, commitment=of_statement, salt=statement.salt, path=statement.path)
    record = misplaced.receipt.record
    return {
        "record is the first leaf": files(CASE, record=first),
        "salt of another size": files(CASE, record=replace(CASE.receipt.record, salt=Raw(bytes(31)))),
        "statement in a record's place": files(misplaced, statement=Statement(Raw(misplaced.record), record.salt, record.path)),
        "statement with another salt": files(CASE, statement=replace(statement, salt=Raw(bytes(32)))),
    }


def one_leaf(index, **header):
    """A public receipt from a log of the ANCHOR alone."""
    log = [bytes(CASE.receipt.anchor.transaction)]
    head, votes = finalize(FIXED_CHAIN, log, None, FIRST, **header)
    anchor = replace(CASE.receipt.anchor, index=index, path=())
    return public(files(CASE, header=Raw(head), votes=tuple((i, Raw(one)) for i, one in votes), anchor=anchor))


def voted_for(change):
    """A header in other CBOR, voted for as it is."""
    raw = change(bytes(CASE.receipt.header))
    hash_ = block_hash(FIXED_CHAIN.chain_id, raw)
    votes = tuple((i, Raw(sign_vote(FIRST[i], FIXED_CHAIN.chain_id, 3, hash_))) for i in (1, 2, 3))
    return files(CASE, header=Raw(raw), votes=votes)


def other_successions():
    """Whole receipts of a succession that is not one, each header final by the set before."""
    ten = members_of(10, "elected")
    untold = make_case(genesis=ELECTED, sets=(SEVEN,))
    told = [member.public for member in SEVEN]
    return {
        "handover to others, who go on": files(untold, handovers=(handover(ELECTED_CHAIN, FIRST, ten, delegates=told),)),
        "handover that changes nothing, all else true": files(make_case(genesis=ELECTED, sets=(SEVEN, SEVEN, FOUR))),
        "handover to one key twice, who go on": files(make_case(genesis=ELECTED, sets=([*SEVEN[:6], SEVEN[0]],))),
        "handover to a key of order 2, who go on": files(make_case(genesis=ELECTED, sets=([SigningKey(ORDER_2, b""), *SEVEN[1:]],))),
        "handover to six, who go on": files(make_case(genesis=ELECTED, sets=(ten[:6],))),
    }


def jws(head=None, more=None):
    tree = submission.SubmissionTree([b'{"resource":{}}'], bytes(32))
    claims = {"iss": CLIENT_ID, "iat": NOW, "count": 1, "root": tree.root.hex(), **(more or {})}
    parts = [submission.to_base64url(json.dumps(part).encode()) for part in (head or {"alg": "EdDSA", "kid": CLIENT_ID}, claims)]
    return f"{parts[0]}.{parts[1]}." + submission.to_base64url(bytes(64))


def out_of_order(fields):
    raw = encode(fields)
    kind = raw.index(b"\x01\x02\x02")
    return raw[:1] + raw[kind : kind + 2] + raw[1:kind] + raw[kind + 2 :]


def voted_by(members, signers):
    """By `members` under the name of the first delegates."""
    log = [bytes(CASE.receipt.issuer.transaction), bytes(CASE.receipt.anchor.transaction)]
    acting = FIXED_CHAIN.first_set.hash
    head, votes = finalize(FIXED_CHAIN, log, signers, members, delegates_hash=acting, next_delegates_hash=acting, producer=FIRST[0].public)
    return files(CASE, header=Raw(head), votes=tuple((i, Raw(one)) for i, one in votes), anchor=logged(log, 1), issuer=logged(log, 0))


def unreduced_vote():
    (number, signature), *rest = CASE.receipt.votes
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    return files(CASE, votes=((number, Raw(signature[:32] + scalar.to_bytes(32, "little"))), *rest))


def vote_with(r, torsion=IDENTITY):
    """Delegate 1's vote with R = r B + torsion: right where the equation is multiplied by the cofactor, or R is not looked at."""
    digest = sha512(sha256(b"delegate 1").digest()).digest()
    secret = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    base = crypto_scalarmult_ed25519_base_noclamp(r.to_bytes(32, "little")) if r else IDENTITY
    nonce = crypto_core_ed25519_add(base, torsion)
    hash_ = block_hash(FIXED_CHAIN.chain_id, CASE.receipt.header)
    message = labelled(VOTE, FIXED_CHAIN.chain_id, encode([Header.from_bytes(CASE.receipt.header).height, hash_]))
    challenge = int.from_bytes(sha512(nonce + FIRST[1].public + message).digest(), "little")
    scalar = (r + challenge * secret) % GROUP_ORDER
    return files(CASE, votes=((1, Raw(nonce + scalar.to_bytes(32, "little"))), *CASE.receipt.votes[1:]))


def odd_leaf_doubled():
    """A log of three, its last leaf hashed with itself as Bitcoin does, said to have four."""
    log = [bytes(CASE.receipt.issuer.transaction)] * 2 + [bytes(CASE.receipt.anchor.transaction)]
    leaves = [merkle.leaf_hash(raw) for raw in log]
    pairs = [merkle.node_hash(leaves[0], leaves[1]), merkle.node_hash(leaves[2], leaves[2])]
    head, votes = finalize(FIXED_CHAIN, log, None, FIRST, log_size=3, log_root=merkle.node_hash(*pairs))
    anchor = replace(CASE.receipt.anchor, index=2, path=(Hash(leaves[2]), Hash(pairs[0])))
    issuer = replace(CASE.receipt.issuer, index=0, path=(Hash(leaves[1]), Hash(pairs[1])))
    return files(CASE, header=Raw(head), votes=tuple((i, Raw(one)) for i, one in votes), anchor=anchor, issuer=issuer)


def plus_order_2(public):
    """The point of `public` plus (0, -1), which turns both coordinates round: still on the curve, outside the main subgroup."""
    prime = 2**255 - 19
    encoded = int.from_bytes(public, "little")
    y, sign = encoded & (2**255 - 1), encoded >> 255
    return ((prime - y) | (1 - sign) << 255).to_bytes(32, "little")


def forged_handovers():
    first, second = HANDED.receipt.handovers
    strangers = members_of(4, "stranger")
    with_identity = [member.public for member in SEVEN[:6]] + [IDENTITY]
    return {
        "handover missing": (second,),
        "last handover missing": (first,),
        "no handovers": (),
        "handovers in the wrong order": (second, first),
        "handover twice": (first, first, second),
        "handover not at the end of an epoch": (handover(ELECTED_CHAIN, FIRST, SEVEN, height=99), second),
        "handovers at one height": (first, handover(ELECTED_CHAIN, SEVEN, FOUR, epoch=1)),
        "handover later than the header": (first, handover(ELECTED_CHAIN, SEVEN, FOUR, epoch=3)),
        "handover by strangers": (handover(ELECTED_CHAIN, strangers, SEVEN), second),
        "handover by too few": (handover(ELECTED_CHAIN, FIRST, SEVEN, signers=(0, 1)), second),
        "handover by one too many": (handover(ELECTED_CHAIN, FIRST, SEVEN, signers=range(4)), second),
        "handover by one twice": (handover(ELECTED_CHAIN, FIRST, SEVEN, signers=(0, 0, 1)), second),
        "handover to others than its header names": (
            handover(ELECTED_CHAIN, FIRST, SEVEN, delegates=[one.public for one in strangers]),
            second,
        ),
        "handover to six": (handover(ELECTED_CHAIN, FIRST, SEVEN[:6]), second),
        "handover to nobody": (handover(ELECTED_CHAIN, FIRST, [], delegates=[]), second),
        "handover with the identity public key": (handover(ELECTED_CHAIN, FIRST, SEVEN, delegates=with_identity), second),
        "handover that changes nothing": (handover(ELECTED_CHAIN, FIRST, FIRST), *HANDED.receipt.handovers),
    }
