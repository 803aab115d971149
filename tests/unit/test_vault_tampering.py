"""Whatever is changed in a sealed bundle is found and named; a form that differs from the one prescribed is refused, even under the right key."""

import dataclasses

import pytest
from sealed_case import KEY, make_case, open_case, reader

from chain import encoding
from gateway.vault import primitives
from gateway.vault.directory import ClassPart, Directory
from gateway.vault.errors import LeafMismatch, SealBroken, WrongKey
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.sealed_bundle import MAGIC, Header, Slot, read_header
from gateway.vault.segments import pack, padded_length, unpack
from gateway.vault.shape import u32_column

CASE = make_case(4, foreign=2)
BODY = CASE.sealed.body
HEADER = read_header(reader(BODY))


def open_all(body):
    """Everything that is in it, as an audit reads it."""
    opened = open_case(body)
    opened.check_root(CASE.sealed.root)
    found = [(batch.bodies, batch.index_rows, opened_class.entries(batch)) for opened_class, batch in opened.batches()]
    opened.check_submission(CASE.submission.root)
    return found


def test_every_byte_counts():
    parts = set()
    for at in range(len(BODY)):
        changed = BODY[:at] + bytes([BODY[at] ^ (1 << at % 8)]) + BODY[at + 1 :]
        with pytest.raises(SealBroken) as broken:
            open_all(changed)
        segment = next((n for n in range(len(HEADER.slots)) if HEADER.offsets[n] <= at < HEADER.offsets[n + 1]), None)
        if segment is None:
            assert broken.value.part in {"header", "directory", "directory, segment 0"}
        else:
            assert broken.value.part.endswith(f"segment {segment}")
        parts.add(broken.value.part)
    assert {"header", "directory, segment 0", "class Patient, segment 5", "class Patient, segment 13", "class Patient, segment 14"} <= parts


@pytest.mark.parametrize("cut", [0, 1, 5, 6, 9, 10, 50, HEADER.offsets[0], HEADER.offsets[1] - 1, len(BODY) - 1])
def test_a_bundle_cut_off_anywhere_is_broken(cut):
    with pytest.raises(SealBroken):
        open_all(BODY[:cut])


def test_segments_do_not_change_places():
    """Two segments of equal length: their numbers are in key and associated data."""
    order = HEADER.offsets
    same = [(a, b) for a in range(1, 15) for b in range(a + 1, 15) if HEADER.slots[a].length == HEADER.slots[b].length]
    a, b = same[0]
    pieces = [BODY[order[n] : order[n + 1]] for n in range(len(HEADER.slots))]
    pieces[a], pieces[b] = pieces[b], pieces[a]
    with pytest.raises(SealBroken):
        open_all(BODY[: order[0]] + b"".join(pieces))


def forged(changes=None, *, header=None, plaintexts=None, seal_as=None):
    """The bundle as someone with all its keys could have sealed it: `changes` maps a segment's number to what is done to its content."""
    opened = open_case(BODY)
    key_of = {0: primitives.directory_key(opened._key)}
    for entry in opened.directory.classes:
        for number in (entry.part, *entry.records, *entry.entries):
            key_of[number] = opened.class_key(entry.name)
    plain = {}
    for number, key in key_of.items():
        ciphertext = BODY[HEADER.offsets[number] : HEADER.offsets[number + 1]]
        plain[number] = primitives.open_segment(key, number, HEADER.digest, ciphertext)
        dictionary = unpack(plain[RECORDS], "") if number == ENTRIES else b""
        if changes and number in changes:
            plain[number] = pack(changes[number](unpack(plain[number], "", dictionary)), dictionary)
        if plaintexts and number in plaintexts:
            plain[number] = plaintexts[number](plain[number])
    slots = [Slot(len(plain[n]), HEADER.slots[n].tag) for n in sorted(plain)]
    made = header(Header(HEADER.chain_id, HEADER.bundle_id, HEADER.wraps, slots)) if header else dataclasses.replace(HEADER, slots=slots)
    return made.to_bytes() + b"".join(primitives.seal_segment(key_of[n], n, made.digest, plain[n]) for n in sorted(plain))


def field(number, change):
    """Changes one field of a CBOR map."""

    def apply(content):
        value = encoding.decode(content)
        value[number] = change(value.get(number))
        return encoding.encode(value)

    return apply


def test_the_forger_changes_nothing_when_told_nothing():
    assert len(forged()) == len(BODY)
    assert open_all(forged()) == open_all(BODY)


DIRECTORY = 0
PART = 5  # of the class Patient, the last of five classes
RECORDS, ENTRIES = 13, 14


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (DIRECTORY, field(0, lambda _: 2)),
        (DIRECTORY, field(5, lambda _: 0)),
        (DIRECTORY, field(1, lambda _: -1)),
        (DIRECTORY, field(1, lambda _: True)),
        (DIRECTORY, field(2, lambda n: n + 1)),
        (DIRECTORY, field(3, lambda c: c[::-1])),
        (DIRECTORY, field(3, lambda c: c[1:])),
        (DIRECTORY, field(3, lambda c: [[*c[0], 0], *c[1:]])),
        (DIRECTORY, field(3, lambda c: [[c[0][0], 1, *c[0][2:]], *c[1:]])),
        (DIRECTORY, field(3, lambda c: [*c[:-1], [*c[-1][:4], c[-2][4], c[-1][5]]])),
        (DIRECTORY, field(3, lambda c: [*c[:-1], [*c[-1][:5], []]])),
        (DIRECTORY, field(3, lambda c: [*c[:-1], [*c[-1][:4], [*c[-1][4], *c[-1][5]], []]])),
        (DIRECTORY, field(3, lambda c: [*c[:-1], [c[-2][0], *c[-1][1:]]])),
        (DIRECTORY, field(4, lambda c: c[:-1])),
        (DIRECTORY, field(4, lambda c: [*c, 1])),
        (DIRECTORY, field(4, lambda _: [9])),
        (DIRECTORY, field(4, lambda c: [[1, b"x" * 31], *c[1:]])),
        (DIRECTORY, field(4, lambda c: [[1, b"x" * 32], *c[1:]])),
        (PART, field(0, lambda _: 2)),
        (PART, field(6, lambda _: 0)),
        (PART, field(1, lambda n: n + 1)),
        (PART, field(2, lambda ids: ids + bytes(16))),
        (PART, field(2, lambda ids: ids[:-1])),
        (PART, field(2, lambda ids: bytes(len(ids)))),
        (PART, field(3, lambda v: v + bytes(4))),
        (PART, field(4, lambda _: bytes(4))),
        (PART, field(4, lambda c: c + bytes(4))),
        (PART, field(5, lambda h: h + bytes(32))),
        (PART, field(5, lambda h: bytes(len(h)))),
        (RECORDS, field(0, lambda _: b"")),
        (RECORDS, field(0, lambda seed: seed[::-1])),
        (RECORDS, field(0, lambda seed: seed + b"x")),
        (RECORDS, field(1, lambda s: s + bytes(4))),
        (RECORDS, field(1, lambda s: s[:-1] + b"\x00")),
        (RECORDS, field(1, lambda s: s[:-1])),
        (RECORDS, field(2, lambda s: bytes(len(s)))),
        (RECORDS, field(4, lambda b: b + b" ")),
        (RECORDS, field(4, lambda b: b.replace(b"number", b"numbex"))),
        (RECORDS, field(5, lambda b: b[:-1])),
        (RECORDS, field(5, str)),
        (RECORDS, lambda content: content + b"\x00"),
        (ENTRIES, field(0, lambda _: bytes(4))),
        (ENTRIES, field(1, lambda s: s + bytes(4))),
        (ENTRIES, field(2, lambda s: s[:-1])),
        (ENTRIES, field(2, lambda s: s[::-1])),
        (ENTRIES, field(3, lambda b: b + b" ")),
        (ENTRIES, field(3, lambda b: b[::-1])),
        (ENTRIES, field(4, lambda _: 0)),
        (RECORDS, lambda _: b""),
    ],
)
def test_a_form_that_is_not_prescribed_is_refused_under_the_right_key(number, change):
    with pytest.raises(SealBroken):
        open_all(forged({number: change}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (field(2, lambda n: n + 1), "share out the leaves"),
        (field(3, lambda c: [[*c[0][:2], 2, *c[0][3:]], *c[1:]]), "share out the leaves"),
        (field(3, lambda c: [c[0], [*c[1][:3], c[0][3], *c[1][4:]], *c[2:]]), "share out the segments"),
        (field(3, lambda c: [c[0], [*c[1][:3], 99, *c[1][4:]], *c[2:]]), "share out the segments"),
        (field(3, lambda c: [*c[:-1], [*c[-1][:5], []]]), "share out the segments"),
        (field(3, lambda c: [[c[1][0], *c[0][1:]], [c[0][0], *c[1][1:]], *c[2:]]), "not in order"),
        (field(3, lambda c: [c[0], [c[2][0], *c[1][1:]], *c[2:]]), "not in order"),
        (field(3, lambda _: []), "not in order"),
        (field(3, lambda c: [*c[:-1], [*c[-1][:4], [], [*c[-1][4], *c[-1][5]]]]), "some of its segments only"),
    ],
)
def test_a_directory_must_agree_with_itself(change, says):
    content = change(open_case(BODY).directory.encode())
    with pytest.raises(SealBroken, match=says):
        Directory.parse(content, len(HEADER.slots))


@pytest.mark.parametrize("counts", [b"", bytes(4), u32_column([2]), u32_column([1, 0])])
def test_a_class_part_must_account_for_its_records(counts):
    content = field(4, lambda _: counts)(open_case(BODY).opened_class("Patient").part.encode())
    with pytest.raises(SealBroken, match="share out its records"):
        ClassPart.parse(content, "Patient")


def test_a_class_part_must_agree_with_the_directory_before_any_record_is_read():
    with pytest.raises(SealBroken, match="other leaves than the directory says"):
        open_case(forged({PART: field(1, lambda n: n + 1)})).opened_class("Patient")


@pytest.mark.parametrize("seed", [b"", b"s" * 31, b"s" * 33])
def test_a_class_has_a_whole_seed(seed):
    with pytest.raises(SealBroken, match="seed"):
        open_case(forged({RECORDS: field(0, lambda _: seed)})).record(4)


def test_another_record_under_the_same_leaf_is_a_leaf_mismatch():
    with pytest.raises(LeafMismatch, match="class Patient, segment 13"):
        open_all(forged({RECORDS: field(4, lambda b: b.replace(b"number", b"numbex"))}))


def test_other_leaves_than_the_roots_are_a_leaf_mismatch():
    with pytest.raises(LeafMismatch, match="bundle"):
        open_case(forged({PART: field(5, lambda h: bytes(len(h)))})).check_root(CASE.sealed.root)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p + b"\x00",
        lambda p: p[:-1] + b"\x01",
        lambda p: b"\xff\xff\xff\xff" + p[4:],
        lambda p: bytes(4) + p[4:],
        lambda p: p[:4] + b"XXXX" + p[8:],
        lambda _: b"",
    ],
)
def test_padding_and_frame_have_one_form(change):
    with pytest.raises(SealBroken):
        open_all(forged(plaintexts={RECORDS: change}))


def test_a_frame_that_says_it_unpacks_to_too_much_is_refused_before_it_is():
    frame = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\x00\x00"
    framed = len(frame).to_bytes(4, "big") + frame
    assert padded_length(len(framed)) == len(framed)
    with pytest.raises(SealBroken, match="acceptable size"):
        unpack(framed, "segment")


@pytest.mark.parametrize(
    "change",
    [
        lambda h: {**h, 0: 2},
        lambda h: {**h, 5: 0},
        lambda h: {**h, 1: h[1][:-1]},
        lambda h: {**h, 2: h[2] + b"x"},
        lambda h: {**h, 3: [{**h[3][0], 3: 0}]},
        lambda h: {**h, 3: [{**h[3][0], 0: b"short"}]},
        lambda h: {**h, 3: {}},
        lambda h: {**h, 4: []},
        lambda h: {**h, 4: [*h[4][:-1], [*h[4][-1], 0]]},
        lambda h: {**h, 4: [*h[4][:-1], [-1, h[4][-1][1]]]},
        lambda h: {**h, 4: [*h[4][:-1], [h[4][-1][0], b"short"]]},
        lambda h: {k: v for k, v in h.items() if k != 2},
    ],
)
def test_a_header_of_another_form_is_refused(change):
    content = encoding.encode(change(encoding.decode(HEADER.encoded)))
    with pytest.raises(SealBroken, match="header"):
        read_header(reader(MAGIC + len(content).to_bytes(4, "big") + content + BODY[HEADER.offsets[0] :]))


@pytest.mark.parametrize("start", [b"", b"FHASB\x02" + BODY[6:], b"FHACO\x01" + BODY[6:], MAGIC, MAGIC + b"\xff\xff\xff\xff"])
def test_what_is_no_sealed_bundle_is_said_to_be_none(start):
    with pytest.raises(SealBroken, match="header"):
        read_header(reader(start))


def test_a_header_longer_than_the_first_read_is_read_in_two():
    assert read_header(reader(BODY), first_read=20) == HEADER


def test_an_unknown_wrap_suite_is_another_readers_business():
    other = dataclasses.replace(HEADER.wraps[0], key_id=b"o" * 16, suite=99)
    body = forged(header=lambda h: dataclasses.replace(h, wraps=[other, *h.wraps]))
    assert open_all(body) == open_all(BODY)


def test_the_wrong_bundle_key_is_said_to_be_wrong():
    with pytest.raises(WrongKey, match="directory"):
        OpenedBundle(reader(BODY), HEADER, bytes(32))
    assert len(unwrap_bundle_key(HEADER, KEY)) == 32


def test_errors_name_parts_not_content():
    for change in ({RECORDS: field(4, lambda b: b + b" ")}, {DIRECTORY: field(2, lambda n: n + 1)}):
        with pytest.raises(SealBroken) as broken:
            open_all(forged(change))
        assert "number" not in str(broken.value)
        assert broken.value.issue.code == "exception"


def test_a_directory_survives_its_encoding():
    directory = open_case(BODY).directory
    assert Directory.parse(directory.encode(), len(HEADER.slots)) == directory
