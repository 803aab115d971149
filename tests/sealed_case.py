"""Small sealed bundles made with the real formats and a fixed source of randomness: what the vault's tests start from."""

import hashlib
import itertools
from typing import NamedTuple

from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.primitives import WrapPrivateKey, WrapSuite
from gateway.vault.seal import RecordToSeal, SealedBundle, seal_bundle
from gateway.vault.sealed_bundle import read_header
from gateway.vault.segments import EntryRow
from gateway.vault.submission import SubmissionTree

CHAIN_ID, BUNDLE_ID = b"C" * 32, b"B" * 16
KEY = WrapPrivateKey(WrapSuite.X25519, b"p" * 32)
CLASSES = ("Observation/laboratory", "Patient", "Observation/vital-signs", "Condition")


class Case(NamedTuple):
    sealed: SealedBundle
    records: list[RecordToSeal]
    submission: SubmissionTree


def random_from(seed):
    numbers = itertools.count()
    return lambda n: hashlib.shake_256(seed + next(numbers).to_bytes(8, "big")).digest(n)


def record(number, class_name, entry):
    record_id = hashlib.sha256(number.to_bytes(4, "big")).digest()[:16]
    kind = class_name.partition("/")[0]
    body = f'{{"resourceType":"{kind}","id":"{record_id.hex()}","meta":{{"versionId":"1"}},"note":"number {number}"}}'.encode()
    return RecordToSeal(class_name, record_id, 1 + number % 3, body, b"row %d" % number, entry)


def make_case(count=12, *, foreign=3, without_entry=(), recipients=(KEY.public,), seed=b"", body_size=0):
    """`count` records in turn of each class, from every entry but each `foreign`-th of a submission; some from no entry."""
    raws = [b'{"fullUrl":"urn:%d","resource":{%s}}' % (i, b"x" * body_size) for i in range(2 * count + 1)]
    tree = SubmissionTree(raws, b"n" * 32)
    own = [i for i in range(len(raws)) if not foreign or i % foreign][:count]
    records = []
    for number, index in enumerate(own):
        entry = None if number in without_entry else EntryRow(index, tree.salts[index], raws[index])
        made = record(number, CLASSES[number % len(CLASSES)], entry)
        records.append(
            made
            if not body_size
            else RecordToSeal(made.class_name, made.id, made.version, made.body + b" " * body_size, made.index_row, entry)
        )
    sealed = seal_bundle(
        chain_id=CHAIN_ID,
        bundle_id=BUNDLE_ID,
        number=41,
        statement=b'{"a":"statement"}',
        records=records,
        cover=tree.tree.cover(sorted(r.entry.index for r in records if r.entry)),
        recipients=recipients,
        random=random_from(b"case" + seed),
    )
    return Case(sealed, records, tree)


def reader(body):
    return lambda offset, length: body[offset : offset + length]


def open_case(body, key=KEY):
    header = read_header(reader(body))
    return OpenedBundle(reader(body), header, unwrap_bundle_key(header, key))
