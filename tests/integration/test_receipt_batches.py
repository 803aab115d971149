"""Many receipts at once: folders, lines, stdin; an outcome for each, whatever the others are."""

import contextlib
import io
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from proof_vectors import FILE
from receipt_case import make_case

from gateway import receipt_format
from gateway.cli import main
from gateway.commands.context import CouldNot
from gateway.commands.receipt import pinned_height
from gateway.line_verification import LONGEST_LINE, TooLong, lines_of, verify_lines
from gateway.receipt_format import from_json
from gateway.receipt_json import to_json
from gateway.verifiers import checker
from gateway.web import verify as batch_route

CASE = make_case()
RECEIPT = to_json(CASE.receipt)
WRONG = RECEIPT.replace(b'"index":1', b'"index":2')
SPACED = json.dumps(json.loads(RECEIPT), indent=0).replace("\n", " ").encode()


def together(receipt, record):
    return json.dumps({"receipt": json.loads(receipt), "record": record.decode()}).encode()


LINES = [
    (RECEIPT, "valid"),
    (WRONG, "invalid"),
    (b"", None),
    (b"not JSON", "invalid"),
    (SPACED, "valid"),
    (b"\xff\xfe", "invalid"),
    (together(RECEIPT, CASE.record), "valid"),
    (together(RECEIPT, CASE.record + b" "), "invalid"),
    (b'{"receipt":{},"record":1}', "invalid"),
    (b'{"receipt":{},"receipt":{},"record":""}', "invalid"),
    (b'{"receipt":1.5,"record":""}', "invalid"),
    (b'{"record":"' + b"[" * 100_000, "invalid"),
    (RECEIPT + b"\r", "valid"),
    (b'{"format":"fhir-anchor state proof 1"}', "invalid"),
    (b'{"format":["fhir-anchor receipt 1"]}', "invalid"),
    (b" " * (LONGEST_LINE + 1), "invalid"),
    (RECEIPT, "valid"),
]
FILE_OF_LINES = b"\n".join(line for line, _ in LINES)
NUMBERED = {number: result for number, (_, result) in enumerate(LINES, 1) if result}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    (folder / "genesis.json").write_bytes(CASE.genesis)
    inner = folder / "all" / "inner"
    inner.mkdir(parents=True)
    (folder / "all" / "a.json").write_bytes(RECEIPT)
    (inner / "b.json").write_bytes(WRONG)
    (inner / "lines.ndjson").write_bytes(RECEIPT + b"\n" + WRONG)
    (inner / "notes.txt").write_text("no receipt")
    (folder / "lines.jsonl").write_bytes(FILE_OF_LINES)
    return folder


def verify(folder, *arguments, **how):
    ran = CliRunner().invoke(main, ["receipt", "verify", *map(str, arguments), "--genesis", str(folder / "genesis.json")], **how)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran


@pytest.mark.parametrize("independent", [(), ("--independent",)], ids=["first", "independent"])
def test_a_folder_is_verified_whole_a_line_each(folder, independent):
    ran = verify(folder, folder / "all", *independent)
    assert ran.exit_code == 1
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["VALID", "INVALID", "VALID", "INVALID"]
    assert "lines.ndjson:2" in lines[3]
    assert CASE.receipt.record.reference in lines[0]


@pytest.mark.parametrize("independent", [(), ("--independent",)], ids=["first", "independent"])
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_every_line_has_its_outcome_whatever_the_others_are(folder, way, independent):
    given = {"input": FILE_OF_LINES} if way == "stdin" else {}
    ran = verify(folder, "-" if way == "stdin" else folder / "lines.jsonl", "--json", *independent, **given)
    told = json.loads(ran.stdout)
    assert {one["line"]: one["result"] for one in told["receipts"]} == NUMBERED
    assert (told["valid"], told["invalid"], told["could_not_check"]) == (5, 11, 0)
    assert ran.exit_code == 1
    assert [one["record_checked"] for one in told["receipts"] if one["result"] == "valid"] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["all/a.json", "none.ndjson"], 2), (["empty"], 2), (["all"], 1), (["all/a.json", "--record", "all/a.json", "all"], 2)],
)
def test_exit_codes(folder, arguments, code):
    (folder / "empty").mkdir(exist_ok=True)
    ran = verify(folder, *(one if one.startswith("--") else folder / one for one in arguments), "--json")
    assert ran.exit_code == code
    if ran.stdout:
        assert set(json.loads(ran.stdout)) == {"receipts", "valid", "invalid", "could_not_check"}


def test_proofs_and_a_pin_go_through_the_same_command(tmp_path):
    stored = json.loads(FILE.read_text())
    vectors = {vector["name"]: vector for vector in stored["vectors"]}
    (tmp_path / "genesis.json").write_text(stored["genesis"])
    (tmp_path / "proofs.ndjson").write_text("\n".join(json.dumps(vector["proof"]) for vector in vectors.values() if not vector["pin"]))
    told = json.loads(verify(tmp_path, tmp_path / "proofs.ndjson", "--json").stdout)
    assert [one["result"] for one in told["receipts"]] == [vector["verdict"] for vector in vectors.values() if not vector["pin"]]
    for name, code in (("pinned at the handover", 0), ("pin of other delegates", 1), ("older than the pin", 2), ("pin at height 0", 2)):
        (tmp_path / "proof.json").write_text(json.dumps(vectors[name]["proof"]))
        (tmp_path / "pin.json").write_text(json.dumps(vectors[name]["pin"]))
        for more in ((), ("--independent",)):
            ran = verify(tmp_path, tmp_path / "proof.json", "--pin", tmp_path / "pin.json", *more)
            assert ran.exit_code == code, (name, ran.output)
    told = verify(tmp_path, tmp_path / "proof.json", "--record", tmp_path / "pin.json").stdout
    assert "leave the record out" in told


@pytest.mark.parametrize("independent", [(), ("--independent",)], ids=["first", "independent"])
def test_a_folder_that_a_stranger_filled_is_gone_through_to_its_end(folder, tmp_path, independent):
    """Each of these hung the command, filled memory or ended it with a traceback."""
    os.mkfifo(tmp_path / "a.json")
    for name in ("b.json", "c.ndjson"):
        (tmp_path / name).symlink_to("/dev/zero")
    with (tmp_path / "d.json").open("wb") as file:
        file.truncate(1 << 40)
    with contextlib.chdir(tmp_path):
        for _ in range(25):  # until its whole name is longer than a system takes
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
    (tmp_path / "z.json").write_bytes(RECEIPT)
    arguments = ["receipt", "verify", str(tmp_path), "--genesis", str(folder / "genesis.json"), "--json", *independent]
    done = CliRunner().invoke(main, arguments)
    told = json.loads(done.stdout)
    by_name = {one["file"].removeprefix(f"{tmp_path}/"): one["result"] for one in told["receipts"]}
    assert [by_name[name] for name in ("a.json", "b.json", "c.ndjson", "d.json", "z.json")] == [
        *["could not check"] * 3,
        "invalid",
        "valid",
    ]
    assert (told["could_not_check"], done.exit_code) == (4, 1), "and the folder whose name is too long"
    with contextlib.chdir(tmp_path):
        shutil.rmtree("d" * 200)


@pytest.mark.parametrize("pin", ['{"height":1e999}', '{"height":-1}', '{"height":1.5}', '{"height":true}', "[" * 100_000, '{"height":"1"}'])
def test_what_is_no_pin_asks_for_nothing(tmp_path, pin):
    (tmp_path / "pin.json").write_text(pin)
    with pytest.raises(CouldNot, match="is no pin"):
        pinned_height(tmp_path / "pin.json")


def test_what_others_say_moves_no_terminal(capsys):
    CouldNot("the gateway answered 422: \x1b]0;owned\x07\nand more").show()
    assert capsys.readouterr().err == "fhir-anchor: the gateway answered 422: ?]0;owned?\nand more\n"


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
def test_lines_are_split_the_same_however_they_come(step):
    text = b"ab\n\nabcdef\nabcdefg\nx\nabcdefgh"
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    found = [TooLong if isinstance(line, TooLong) else line for line in lines_of(pieces, 6)]
    assert found == [b"ab", b"", b"abcdef", TooLong, b"x", TooLong]


def test_a_line_that_never_ends_is_not_held():
    """256 MB without a line's end, and one line after it."""
    pieces = [*[bytes(1 << 20)] * 256, b"\n" + RECEIPT]
    outcomes = list(verify_lines(lines_of(iter(pieces), 1 << 20), checker(CASE.genesis), with_records=True))
    assert [(one["line"], one["result"]) for one in outcomes] == [(1, "invalid"), (2, "valid")]


def test_what_was_verified_before_makes_nothing_else_valid():
    """What is shared between receipts is remembered: a change of each of its parts, after the true one, is still seen."""
    check = checker(CASE.genesis)
    document = json.loads(RECEIPT)
    other = json.loads(to_json(make_case(log_before=6).receipt))
    for _ in range(2):
        assert check(RECEIPT, CASE.record)["result"] == "valid"
        for name in ("record", "bundle", "anchor", "header", "votes", "statement", "issuer"):
            if other[name] != document[name]:
                changed = json.dumps({**document, name: other[name]}, separators=(",", ":")).encode()
                assert check(changed, None)["result"] == "invalid", name


def test_a_part_that_takes_far_more_room_than_its_text_is_not_remembered():
    """Anyone may send receipts: 16 kB of empty votes would be held as 260 kB, by each of 512 such parts."""
    document = json.loads(RECEIPT)
    read = receipt_format._part.cache_info
    from_json(RECEIPT)
    before = read().currsize
    for number in range(3):
        from_json(json.dumps({**document, "votes": [[number, ""]] * 2000}, separators=(",", ":")).encode())
    assert read().currsize == before
    hits = read().hits
    from_json(RECEIPT)
    assert read().hits - hits == len(document) - 1, "all that is small of a true one"


def test_a_batch_over_http_ends_in_time_whoever_takes_its_answers():
    """Who takes answers slowly holds a place no longer than who sends slowly, and a body of empty lines has no more time."""
    for line, of_outcomes in ((b"x", batch_route.WITHIN_SECONDS // 5), (b"", 0)):
        stream = io.BytesIO((line + b"\n") * 100_000)
        *outcomes, ended, counts = map(
            json.loads, batch_route._answers(stream, {}, checker(CASE.genesis), itertools.count(step=5).__next__)
        )
        assert len(outcomes) <= of_outcomes
        assert (ended["result"], "120 seconds" in ended["detail"]) == ("could not check", True)
        assert counts["could_not_check"] == 1
        assert stream.tell() < 100_000
