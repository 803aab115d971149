"""The second verifier is second: it imports pycryptodome and the standard library, and works where nothing else can be imported."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from Crypto.PublicKey import ECC
from receipt_case import make_case

from gateway import independent
from gateway.independent import cbor, signatures, tree
from gateway.independent.faults import Invalid
from gateway.receipt_json import to_json

FOLDER = Path(independent.__file__).parent
ALLOWED = {"Crypto", *sys.stdlib_module_names}


def imported(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield f"{node.module}.{node.names[0].name}" if node.module == "gateway" else node.module


@pytest.mark.parametrize("module", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_module_imports_its_own_package_pycryptodome_and_the_standard_library(module):
    foreign = [name for name in imported(module) if name.split(".")[0] not in ALLOWED and not name.startswith("gateway.independent")]
    assert foreign == []


PROGRAM = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        allowed = name.split(".")[0] in {"Crypto", *sys.stdlib_module_names} or name == "gateway" or name.startswith("gateway.independent")
        if not allowed:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Nothing())
from gateway.independent import verify_receipt
folder = sys.argv[1]
read = lambda name: open(folder + "/" + name, "rb").read()
print(verify_receipt(read("r.json"), read("g.json"), read("record.json")).who)
"""


def test_it_works_where_nothing_else_can_be_imported(tmp_path):
    case = make_case()
    for name, body in (("r.json", to_json(case.receipt)), ("g.json", case.genesis), ("record.json", case.record)):
        (tmp_path / name).write_bytes(body)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("in a submission signed by General Hospital\n", "")


# RFC 8949, appendix A, those of our subset; and the ways to write a value that the deterministic encoding forbids.
@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1000),
        ("1a000f4240", 1000000),
        ("1bffffffffffffffff", 2**64 - 1),
        ("20", -1),
        ("3903e7", -1000),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("6449455446", "IETF"),
        ("62c3bc", "\u00fc"),
        ("8301820203820405", [1, [2, 3], [4, 5]]),
        ("a201020304", {1: 2, 3: 4}),
    ],
)
def test_cbor_reads_what_rfc_8949_writes(data, value):
    assert cbor.decode(bytes.fromhex(data), "it") == value


@pytest.mark.parametrize(
    "data",
    ["", "18", "1817", "190017", "1a0000ffff", "1b00000000ffffffff", "3b8000000000000000", "41", "61ff", "9f01ff", "a203040102", "a201020103",
     "a11818f6", "a16161f6", "c074", "f93c00", "f7", "f818", "0000", "ff", "1c", "81" * 40 + "00", "9bffffffffffffffff", "b90018"],
)  # fmt: skip
def test_cbor_refuses_every_other_spelling(data):
    with pytest.raises(Invalid):
        cbor.decode(bytes.fromhex(data), "it")


# The encodings of all points of order 1, 2, 4 and 8, and two of y = 0 and 1 that are not canonical.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("raw", SMALL_ORDER)
def test_a_public_key_that_no_signer_has_is_refused(raw):
    with pytest.raises(Invalid):
        signatures.public_key(bytes.fromhex(raw), "it")


def test_a_public_key_outside_the_prime_order_group_is_refused():
    mixed = ECC.generate(curve="Ed25519").pointQ + ECC.construct(curve="Ed25519", point_x=0, point_y=2**255 - 20).pointQ
    raw = (int(mixed.y) | (int(mixed.x) & 1) << 255).to_bytes(32, "little")
    with pytest.raises(Invalid):
        signatures.public_key(raw, "it")


# RFC 8032, 7.1, test 2.
def test_ed25519_known_answer():
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    signatures.check(public, b"\x72", signature, "it")
    for altered in (signature[:-1] + b"\x01", signature[:-1], bytes(64)):
        with pytest.raises(Invalid):
            signatures.check(public, b"\x72", altered, "it")


# The tree of RFC 6962's reference implementation (certificate-transparency, merkle_tree_test.cc): eight inputs, their root, one path.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOT_OF_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
PATH_OF_5_IN_8 = [
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def test_merkle_known_answer():
    path = [bytes.fromhex(text) for text in PATH_OF_5_IN_8]
    start = tree.leaf(bytes.fromhex(INPUTS[5]))
    assert tree.root_by_index(start, 5, 8, path, "it").hex() == ROOT_OF_8
    for index, size, hashes in ((8, 8, path), (5, 8, path[:-1]), (5, 8, [*path, bytes(32)]), (0, 0, [])):
        with pytest.raises(Invalid):
            tree.root_by_index(start, index, size, hashes, "it")


def test_the_program_says_the_same_of_a_genesis_that_is_none(tmp_path):
    case = make_case()
    altered = json.dumps({**json.loads(case.genesis), "more": 1}).encode()
    with pytest.raises(independent.Unreadable):
        independent.verify_receipt(to_json(case.receipt), altered, None)
