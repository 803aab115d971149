"""Three verifiers of receipts, the third in JavaScript and from the written specification alone: one verdict a vector."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from receipt_vectors import FILE, document, read, to_text
from two_verifiers import verdicts

VECTORS = list(read(FILE.read_text()))
VERIFY = Path(__file__).parents[2] / "examples" / "verify.mjs"
WORDS = {0: "valid", 1: "invalid", 2: "could not check"}
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="examples/verify.mjs runs on Node, and there is none here")


def test_the_file_is_what_the_generator_makes():
    assert FILE.read_text() == to_text(document())


def test_names_differ_and_the_file_is_small():
    assert len({name for name, _, _ in VECTORS}) == len(VECTORS) > 180
    assert FILE.stat().st_size < 400_000


@pytest.mark.parametrize(("given", "verdict"), [vector[1:] for vector in VECTORS], ids=[vector[0] for vector in VECTORS])
def test_both_verifiers_here_agree(given, verdict):
    assert verdicts("verify_receipt", given.receipt, given.genesis, given.record) == [verdict, verdict]


@needs_node
def test_the_verifier_elsewhere_agrees():
    lines = [json.dumps([part if part is None else part.decode("latin-1") for part in given]) for _, given, _ in VECTORS]
    runner = Path(__file__).with_name("verdicts.mjs")
    ran = subprocess.run([NODE, runner], input="\n".join(lines), capture_output=True, text=True, encoding="utf-8", check=True)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    said = {name: (WORDS[code], sentence) for (name, _, _), (code, sentence) in zip(VECTORS, answers, strict=True)}
    assert {name: word for name, (word, _) in said.items()} == {name: verdict for name, _, verdict in VECTORS}
    assert all(sentence.startswith(word) and "\n" not in sentence for word, sentence in said.values())


@needs_node
@pytest.mark.parametrize(
    ("name", "code"),
    [("fixed delegates", 0), ("another record", 1), ("a record for a public receipt", 2), ("genesis that is no JSON", 2), ("public", 0)],
)
def test_the_command_answers_by_its_exit_code_in_one_line(tmp_path, name, code):
    given = next(given for other, given, _ in VECTORS if other == name)
    paths = [tmp_path / part for part, content in given._asdict().items() if content is not None]
    for path in paths:
        path.write_bytes(getattr(given, path.name))
    ran = subprocess.run([NODE, VERIFY, *paths], check=False, capture_output=True, text=True, encoding="utf-8")
    assert (ran.returncode, ran.stderr) == (code, "")
    assert ran.stdout.count("\n") == 1
    assert ran.stdout.startswith(WORDS[code])


@needs_node
@pytest.mark.parametrize(("end", "code"), [(b"\n", 0), (b"\r\n", 0), (b"\n\n", 1), (b" ", 1)])
def test_the_command_takes_a_record_with_the_end_of_a_line_that_fetch_writes(tmp_path, end, code):
    given = next(given for name, given, _ in VECTORS if name == "fixed delegates")
    paths = [tmp_path / part for part in given._fields]
    for path in paths:
        path.write_bytes(getattr(given, path.name))
    paths[-1].write_bytes(given.record + end)
    assert subprocess.run([NODE, VERIFY, *paths], check=False, capture_output=True).returncode == code


@needs_node
def test_a_file_far_too_large_is_no_receipt(tmp_path):
    given = VECTORS[0][1]
    (tmp_path / "genesis.json").write_bytes(given.genesis)
    (tmp_path / "receipt.json").write_bytes(given.receipt + b" " * (1 << 20))
    ran = subprocess.run([NODE, VERIFY, tmp_path / "genesis.json", tmp_path / "receipt.json"], check=False, capture_output=True)
    assert ran.returncode == 1


@needs_node
@pytest.mark.parametrize("arguments", [[], ["genesis.json"], ["missing.json", "missing.json"], ["a", "b", "c", "d"]])
def test_what_it_cannot_read_it_cannot_check(tmp_path, arguments):
    ran = subprocess.run([NODE, VERIFY, *arguments], check=False, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path)
    assert (ran.returncode, ran.stderr, ran.stdout.count("\n")) == (2, "", 1)
