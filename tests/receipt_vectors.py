"""The vectors that every verifier of receipts must answer alike: `python tests/receipt_vectors.py` writes tests/vectors/receipts.json.

`valid` holds whole files; a `changed` one is a valid one of which `cut` bytes at `at` of one file are replaced with `put`. Files are written
as a character a byte (Latin-1), so that any bytes can be told. Each is named by what is wrong with it.
"""

import copy
import json
import sys
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace
from receipt_case import (
    NOW,
    genesis_bytes,
    key,
    make_case,
)
from receipt_forgeries import (
    CASE,
    ELECTED,
    FIXED,
    HANDED,
    IDENTITY,
    ISSUER,
    ORDER_8,
    SEVEN,
    Files,
    files,
    forged,
    forged_handovers,
    not_the_record,
    one_leaf,
    other_successions,
    plus_order_2,
    public,
    stated,
)

from gateway.receipt_json import Hash, to_json

FILE = Path(__file__).parent / "vectors" / "receipts.json"
PARTS = ("genesis", "receipt", "record")


def valid():
    """Name -> files."""
    own = files(CASE)
    document = json.loads(own.receipt)
    spaced = json.dumps(dict(reversed(document.items())), indent=1).encode()
    named = make_case(genesis=genesis_bytes(parties=(ISSUER,)))
    return {
        "fixed delegates": own,
        "attested by the gateway": files(make_case("gateway", genesis=FIXED)),
        "issuer of the genesis": files(named, issuer="genesis"),
        "public": public(own),
        "record not given": own._replace(record=None),
        "one delegate": files(make_case(delegates=1, header={"voters": b"\x01"})),
        "seven delegates": files(make_case(delegates=7)),
        "two handovers": files(HANDED),
        "no handover yet": files(make_case(genesis=ELECTED)),
        "other white space and order": own._replace(receipt=spaced),
        "escapes in text": own._replace(
            receipt=own.receipt.replace(b'"format"', b'"\\u0066ormat"').replace(b"/_history/", b"\\/_history\\/")
        ),
        "a statement with text that is not ASCII": files(make_case(genesis=FIXED, statement={"media_type": 'text/"ä"\t\u2028'})),
        "state root of another version": files(make_case(genesis=FIXED, header={"state_root": b"\x02" + bytes(32)})),
        "block of version 2": files(make_case(genesis=FIXED, header={"version": 2})),
        "voters of another size": files(make_case(genesis=FIXED, header={"voters": b""})),
        "fixed delegates and another next hash": files(make_case(genesis=FIXED, header={"next_delegates_hash": bytes(32)})),
        "height 1 after another block": files(make_case(genesis=FIXED, header={"height": 1})),
        "statement at the limits of its numbers": stated(count=2**53 - 1, received_at=NOW + 600),
        "zero with a minus": own._replace(receipt=own.receipt.replace(b'"index":0', b'"index":-0')),
        "genesis with a no-break space and a face": files(make_case(genesis=genesis_bytes(network="\xa0\U0001fae8" * 100))),
    }


def changed():
    """Name -> (name of the valid one, files, verdict)."""
    base = files(CASE)
    for name, receipt in edited(base.receipt).items():
        yield name, "fixed delegates", base._replace(receipt=receipt), "invalid"
    for name, case in forged().items():
        yield name, "fixed delegates", case, "invalid"
    for name, handovers in forged_handovers().items():
        yield name, "two handovers", files(HANDED, handovers=handovers), "invalid"
    for name, case in other_successions().items():
        yield name, "two handovers", case, "invalid"
    for name, case in not_the_record().items():
        yield name, "record not given", case._replace(record=None), "invalid"
    yield "index beyond a log of one", "public", one_leaf(1), "invalid"
    yield "a leaf for the root of two", "public", one_leaf(0, log_size=2), "invalid"
    for name, genesis in geneses().items():
        receipt = replace(CASE.receipt, chain_id=Hash(sha256(genesis).digest()))
        yield name, "fixed delegates", Files(genesis, to_json(receipt), CASE.record), "could not check"
    yield from others(base)


def others(base):
    other = base.record.replace(b"final", b"given")
    yield "another record", "fixed delegates", base._replace(record=other), "invalid"
    yield "a byte more in the record", "fixed delegates", base._replace(record=base.record + b"\n"), "invalid"
    lower = public(base)._replace(receipt=public(base).receipt.replace(b"Observation/", b"observation/"))
    yield "type in lower case", "public", lower, "invalid"
    yield "another chain's genesis", "fixed delegates", base._replace(genesis=genesis_bytes(network="other")), "invalid"
    yield "a record for a public receipt", "public", public(base)._replace(record=base.record), "could not check"
    wrong = public(base).receipt.replace(b'"index":1', b'"index":2')
    yield "a record for a public receipt that is invalid", "public", Files(base.genesis, wrong, base.record), "invalid"


def edited(text):
    """Changes of the file alone, by anyone."""
    document = json.loads(text)

    def with_(change):
        altered = copy.deepcopy(document)
        change(altered)
        return json.dumps(altered, separators=(",", ":")).encode()

    def lost(part, *names):
        return with_(lambda d: [d.pop(part) if not names else d[part].pop(name) for name in names or ("",)])

    votes, signature = document["votes"], document["votes"][0][1]
    padded = document["statement"]["salt"]
    unused = padded[:-1] + chr(ord(padded[-1]) + 1)
    return {
        "extra field": with_(lambda d: d.update(note="")),
        "extra field inside": with_(lambda d: d["anchor"].update(time=1)),
        "missing field": lost("handovers"),
        "missing field inside": lost("anchor", "index"),
        "issuer under another name and no statement": lost("statement").replace(b'"issuer"', b'"x"'),
        "statement without issuer": lost("issuer"),
        "statement without record.salt": lost("record", "salt"),
        "null for a missing field": with_(lambda d: d.update(issuer=None)),
        "name twice": text[:-1] + b',"format":"fhir-anchor receipt 1"}',
        "name twice inside, once escaped": text.replace(b'"bundle":{', b'"bundle":{"i\\u006edex":1,'),
        "number as float": text.replace(b'"index":1', b'"index":1.0'),
        "number with exponent": text.replace(b'"index":1', b'"index":1e0'),
        "number below zero": text.replace(b'"index":1', b'"index":-1'),
        "number as text": text.replace(b'"index":1', b'"index":"1"'),
        "number as truth value": text.replace(b'"index":1', b'"index":true'),
        "number beyond 2^53": text.replace(b'"index":1', b'"index":9007199254740993'),
        "not a number": text.replace(b'"index":1', b'"index":NaN'),
        "comma at the end": text[:-1] + b",}",
        "byte order mark": b"\xef\xbb\xbf" + text,
        "not UTF-8": text.replace(b"fhir-anchor receipt 1", b"fhir-anchor receipt \xff"),
        "half of a surrogate pair": text.replace(b"fhir-anchor receipt 1", b"fhir-anchor receipt \\ud800"),
        "white space that is not JSON's": text + b"\x0b",
        "two receipts": text + text[:1] + b"}",
        "no receipt": b"[]",
        "empty file": b"",
        "other format": text.replace(b"fhir-anchor receipt 1", b"fhir-anchor receipt 2"),
        "base64 with padding": text.replace(padded.encode(), padded.encode() + b"="),
        "base64 with unused bits set": text.replace(padded.encode(), unused.encode()),
        "base64 of the other alphabet": text.replace(signature.encode(), signature.replace("_", "/").replace("-", "+").encode()),
        "upper-case hex": with_(lambda d: d["record"].update(commitment=d["record"]["commitment"].upper())),
        "hash too short": with_(lambda d: d["record"].update(commitment=d["record"]["commitment"][:-2])),
        "other chain id": with_(lambda d: d.update(chain_id="00" * 32)),
        "reference to another version": text.replace(b"_history/1", b"_history/2"),
        "reference with a line break": text.replace(b"_history/1", b"_history/1\\n"),
        "forged vote": with_(lambda d: d["votes"][0].__setitem__(1, votes[1][1])),
        "doubled vote": with_(lambda d: d.update(votes=[votes[0], votes[0], votes[1]])),
        "too few votes": with_(lambda d: d["votes"].pop()),
        "votes in another order": with_(lambda d: d["votes"].reverse()),
        "vote of a delegate that is none": with_(lambda d: d["votes"][2].__setitem__(0, 4)),
        "log path too long": with_(lambda d: d["anchor"]["path"].append("00" * 32)),
        "log path too short": with_(lambda d: d["anchor"]["path"].pop()),
        "bundle path too long": with_(lambda d: d["bundle"]["path"].append("00" * 32)),
        "bundle path too short": with_(lambda d: d["bundle"]["path"].pop()),
        "record path too long": with_(lambda d: d["record"]["path"].append(["right", "00" * 32])),
        "record path too short": with_(lambda d: d["record"]["path"].pop()),
        "record path with sides swapped": with_(lambda d: d["record"]["path"][0].reverse()),
        "record path on the other side": with_(
            lambda d: d["record"]["path"][0].__setitem__(0, "left" if d["record"]["path"][0][0] == "right" else "right")
        ),
        "log index beyond the log": with_(lambda d: d["anchor"].update(index=6)),
        "log index of another": with_(lambda d: d["anchor"].update(index=4)),
        "bundle size of another container": with_(lambda d: d["bundle"].update(size=4)),
        "bundle index of another": with_(lambda d: d["bundle"].update(index=0)),
        "statement is not the first leaf": with_(lambda d: d["statement"].update(path=d["record"]["path"])),
        "issuer said to be of the genesis": with_(lambda d: d.update(issuer="genesis")),
        "anchor as issuer": with_(lambda d: d.update(issuer=d["anchor"])),
        "issuer as anchor": with_(lambda d: d.update(anchor=d["issuer"])),
    }


def geneses():
    """Files that are no genesis: with them nothing can be checked."""
    fixed, elected = json.loads(FIXED), json.loads(ELECTED)
    gateway, member = fixed["parties"][0], fixed["delegates"][0]

    def change(document, **fields):
        return json.dumps({**document, **fields}).encode()

    stranger = key("stranger").public.hex()
    return {
        "genesis with a field more": change(fixed, note=""),
        "genesis without network": json.dumps({name: value for name, value in fixed.items() if name != "network"}).encode(),
        "genesis with a name twice": FIXED[: FIXED.rindex(b"}")] + b',"network":"test"}',
        "genesis with a number as float": change(fixed, slot_seconds=2.0),
        "genesis with a network of no letters": change(fixed, network=""),
        "genesis with a line break in the network": change(fixed, network="a\nb"),
        "genesis with half a surrogate pair": change(fixed, network="\ud800"),
        "genesis with too long a network": change(fixed, network="n" * 201),
        "genesis with too long a slot": change(fixed, slot_seconds=3601),
        "genesis with no epoch": change(fixed, epoch_blocks=0),
        "genesis with no heartbeat": change(fixed, heartbeat_slots=0),
        "genesis with too late a start": change(fixed, started_at=2**40 + 1),
        "genesis with three delegates": change(fixed, delegates=fixed["delegates"][:3]),
        "genesis with no delegates": change(fixed, delegates=[]),
        "genesis with a delegate twice": change(fixed, delegates=[*fixed["delegates"][:3], {**member, "name": "other"}]),
        "genesis with a delegate's name twice": change(fixed, delegates=[*fixed["delegates"][:3], {**member, "key": stranger}]),
        "genesis with the identity public key": change(fixed, delegates=[{**member, "key": IDENTITY.hex()}, *fixed["delegates"][1:]]),
        "genesis with a key of order 8": change(fixed, delegates=[{**member, "key": ORDER_8.hex()}, *fixed["delegates"][1:]]),
        "genesis with a key outside the main subgroup": change(
            fixed, delegates=[{**member, "key": plus_order_2(bytes.fromhex(member["key"])).hex()}, *fixed["delegates"][1:]]
        ),
        "genesis with a key in upper-case hex": change(fixed, delegates=[{**member, "key": member["key"].upper()}, *fixed["delegates"][1:]]),
        "genesis without a gateway": change(fixed, parties=[{**gateway, "role": "agency"}]),
        "genesis with a gateway without signing key": change(fixed, parties=[{**gateway, "signing_key": None, "attestation_key": stranger}]),
        "genesis with a party without keys": change(fixed, parties=[gateway, {**gateway, "client_id": "other", "role": "agency", "signing_key": None}]),
        "genesis with a signing key twice": change(fixed, parties=[gateway, {**gateway, "client_id": "other", "name": "Other"}]),
        "genesis with a client id twice": change(fixed, parties=[gateway, {**gateway, "signing_key": stranger}]),
        "genesis with an unknown role": change(fixed, parties=[gateway, {**gateway, "client_id": "other", "role": "Agency", "signing_key": stranger}]),
        "genesis of fixed delegates with seats": change(fixed, seats=7),
        "genesis of elected delegates without seats": change(elected, format="fhir-anchor genesis 1"),
        "genesis with five seats": change(elected, seats=5),
        "genesis with fewer seats than delegates": change(
            elected, seats=4, delegates=[{"name": str(i), "key": one.public.hex()} for i, one in enumerate(SEVEN)]
        ),
        "genesis with too many seats": change(elected, seats=103),
        "genesis without stakes": change(elected, stakes=[]),
        "genesis with a stake of nothing": change(elected, stakes=[{**elected["stakes"][0], "weight": 0}]),
        "genesis with too much stake": change(elected, stakes=[{"holder": n, "key": key(n).public.hex(), "weight": 500_001} for n in "ab"]),
        "genesis of an unknown format": change(fixed, format="fhir-anchor genesis 3"),
        "genesis that is not UTF-8": FIXED.replace(b'"test"', b'"te\xff"'),
        "genesis that is no JSON": FIXED[:-2],
        "genesis that is a list": b"[]",
    }  # fmt: skip


def common(one, other):
    """How many bytes both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def splice(old, new):
    """(at, cut, put) that make `new` of `old`."""
    at = common(old, new)
    rest = common(old[at:][::-1], new[at:][::-1])
    return at, len(old) - at - rest, new[at : len(new) - rest].decode("latin-1")


def document():
    """The whole file's content."""
    whole = valid()
    cases = []
    for name, of, given, verdict in changed():
        edits = {part: splice(old or b"", new or b"") for part, old, new in zip(PARTS, whole[of], given, strict=True) if old != new}
        assert edits, name
        cases.append({"name": name, "of": of, "verdict": verdict, "edits": edits})
    told = [
        {"name": name, **{part: text and text.decode("latin-1") for part, text in zip(PARTS, given, strict=True)}}
        for name, given in whole.items()
    ]
    return {"valid": told, "changed": cases}


def read(text):
    """(name, files, verdict) of each vector in the file's text."""
    stored = json.loads(text)
    whole = {case["name"]: case for case in stored["valid"]}
    for name, case in whole.items():
        yield name, Files(*(None if case[part] is None else case[part].encode("latin-1") for part in PARTS)), "valid"
    for case in stored["changed"]:
        parts = {part: whole[case["of"]][part] for part in PARTS}
        for part, (at, cut, put) in case["edits"].items():
            old = parts[part] or ""
            parts[part] = old[:at] + put + old[at + cut :]
        yield case["name"], Files(*(None if parts[part] is None else parts[part].encode("latin-1") for part in PARTS)), case["verdict"]


def to_text(content):
    """A vector a line."""
    groups = (f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]" for name, cases in content.items())
    return "{" + ",\n".join(groups) + "}\n"


if __name__ == "__main__":
    FILE.write_text(to_text(document()))
    sys.stdout.write(f"{FILE.stat().st_size} bytes\n")
