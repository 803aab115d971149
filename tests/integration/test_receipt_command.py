"""`fhir-anchor receipt` and `fhir-anchor push` as others script against them: exit codes, one JSON document, sentences for people."""

import json

import pytest
from click.testing import CliRunner
from receipt_case import make_case
from scripted_server import Server

from gateway.cli import main
from gateway.client.credentials import new_credentials, write
from gateway.receipt_json import to_json


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path):
    case = make_case()
    (tmp_path / "r.json").write_bytes(to_json(case.receipt))
    (tmp_path / "record.json").write_bytes(case.record)
    (tmp_path / "altered.json").write_bytes(case.record + b" ")
    (tmp_path / "none.json").write_text("{}")
    (tmp_path / "genesis.json").write_bytes(case.genesis)
    return tmp_path


def verify(folder, *arguments):
    return run(
        "receipt", "verify", *(folder / a if str(a).endswith(".json") else a for a in arguments), "--genesis", folder / "genesis.json"
    )


@pytest.mark.parametrize("independent", [(), ("--independent",)], ids=["first", "independent"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["r.json"], 0),
        (["r.json", "--record", "record.json"], 0),
        (["r.json", "--record", "altered.json"], 1),
        (["none.json"], 1),
        (["missing.json"], 2),
        (["r.json", "--record", "missing.json"], 2),
        (["r.json", "r.json", "r.json"], 0),
        (["r.json", "none.json", "missing.json"], 1),
        (["r.json", "missing.json"], 2),
        (["r.json", "r.json", "--record", "record.json", "--record", "record.json"], 0),
        (["r.json", "r.json", "--record", "record.json", "--record", "altered.json"], 1),
        (["r.json", "r.json", "--record", "record.json"], 2),
    ],
    ids=lambda arguments: " ".join(arguments) if isinstance(arguments, list) else str(arguments),
)
def test_exit_codes(folder, arguments, code, independent):
    assert verify(folder, *arguments, *independent).exit_code == code


def test_a_genesis_that_is_missing_or_none_means_could_not_check(folder):
    assert run("receipt", "verify", folder / "r.json", "--genesis", folder / "missing.json").exit_code == 2
    assert run("receipt", "verify", folder / "r.json", "--genesis", folder / "none.json").exit_code == 2


def test_people_read_who_when_and_what_was_checked(folder):
    told = verify(folder, "r.json", "--record", "record.json").stdout
    assert "VALID" in told
    assert "in a submission signed by General Hospital" in told
    assert "by 3 of 4 delegates" in told
    assert "2026-" in told
    assert "not checked" not in told
    assert "not checked" in verify(folder, "r.json").stdout
    assert "byte for byte" in verify(folder, "r.json", "--record", "altered.json").stdout


@pytest.mark.parametrize("more", [[], ["--independent"]])
@pytest.mark.parametrize(("end", "code"), [(b"\n", 0), (b"\r\n", 0), (b" \n", 1), (b"\n\n", 1), (b" ", 1)])
def test_the_end_of_a_line_after_the_record_does_not_count_and_nothing_else_is_let_pass(folder, more, end, code):
    (folder / "line.json").write_bytes((folder / "record.json").read_bytes() + end)
    assert verify(folder, "r.json", "--record", "line.json", *more).exit_code == code


def test_programs_read_one_json_document(folder):
    told = json.loads(verify(folder, "r.json", "none.json", "missing.json", "--json").stdout)
    assert (told["valid"], told["invalid"], told["could_not_check"]) == (1, 1, 1)
    assert [receipt["result"] for receipt in told["receipts"]] == ["valid", "invalid", "could not check"]
    assert told["receipts"][0]["reference"] == "Observation/0000000000000000000000000000000a/_history/1"


def test_nothing_in_a_file_reaches_the_terminal_as_a_control_character(folder):
    (folder / "r.json").write_text(json.dumps({"\u001b[2J\u0007": 1}))
    told = CliRunner().invoke(main, ["receipt", "verify", str(folder / "r.json"), "--genesis", str(folder / "genesis.json")], color=True)
    assert "\u001b" not in told.stdout
    assert "\u0007" not in told.stdout


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def hospital(server, tmp_path):
    write(tmp_path / "cred.json", new_credentials(server.url, "hospital-0a1b2c3d"))
    return tmp_path / "cred.json"


LOCATION = "http://gw.example/fhir/Patient/0123/_history/1"


def test_push_says_in_one_document_what_became_of_each_file(server, hospital, tmp_path):
    created = {"Location": LOCATION, "Link": '<http://gw.example/ledger/r>; rel="receipt"'}
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "value", "diagnostics": "not a code"}]}
    server.script["POST", "/fhir/Patient"] = [(201, created, {}), (422, {}, outcome), (201, {**created, "Idempotent-Replay": "true"}, {})]
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(json.dumps({"resourceType": "Patient", "multipleBirthInteger": number}))
    done = run("push", "--as", hospital, *(tmp_path / f"{n}.json" for n in (0, 1, 2)), tmp_path / "missing.json", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 2, "a file could not be read"
    assert [told[name] for name in ("bundles", "resources", "created", "unchanged", "failed")] == [4, 4, 1, 1, 2]
    assert told["receipts"] == [{"record": "Patient/0123", "url": "http://gw.example/ledger/r"}] * 2
    assert [(error["file"].rsplit("/")[-1], error["status"]) for error in told["errors"]] == [("1.json", 422), ("missing.json", None)]
    assert told["seconds"] >= 0
    sent = [json.loads(body)["multipleBirthInteger"] for method, path, _, body in server.seen if path == "/fhir/Patient"]
    assert sent == [0, 1, 2], "in the order given"


def test_push_in_words(server, hospital, tmp_path):
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "value", "diagnostics": "not a code", "expression": ["P.g"]}],
    }
    server.script["POST", "/fhir/Patient"] = [(422, {}, outcome)]
    (tmp_path / "p.json").write_text('{"resourceType":"Patient"}')
    done = run("push", "--as", hospital, tmp_path / "p.json")
    assert done.exit_code == 1
    assert "p.json: P.g: not a code" in done.stdout


@pytest.mark.parametrize("count", [1, 25])
def test_push_in_words_names_what_receipts_are_to_be_had_for(server, hospital, tmp_path, count):
    names = [f"Patient/{number:04}" for number in range(count)]
    link = {"Link": '<http://gw.example/ledger/r>; rel="receipt"'}
    server.script["POST", "/fhir/Patient"] = [
        (201, {"Location": f"http://gw.example/fhir/{name}/_history/1", **link}, {}) for name in names
    ]
    (tmp_path / "p.json").write_text('{"resourceType":"Patient"}')
    told = run("push", "--as", hospital, *[tmp_path / "p.json"] * count).stdout.splitlines()
    named = told[told.index("receipts to be had for") + 1 :]
    more = ["... and 5 more; --json lists all"] if count == 25 else []
    assert [line.strip() for line in named] == names[:20] + more


def test_push_with_another_address(server, hospital, tmp_path):
    write(hospital, new_credentials("http://127.0.0.1:9", "hospital-0a1b2c3d"))
    server.script["POST", "/fhir/Patient"] = [(201, {"Location": LOCATION}, {})]
    (tmp_path / "p.json").write_text('{"resourceType":"Patient"}')
    assert run("push", "--as", hospital, "--url", server.url, tmp_path / "p.json").exit_code == 0


def test_push_that_cannot_sign_in_or_is_asked_for_what_it_cannot_do(server, hospital, tmp_path):
    (tmp_path / "p.json").write_text('{"resourceType":"Patient"}')
    server.script["POST", "/auth/token"] = [(401, {}, {"error": "invalid_client"})]
    refused = run("push", "--as", hospital, tmp_path / "p.json", "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "invalid_client" in refused.stderr
    for arguments in (["--as", tmp_path / "missing.json"], ["--as", tmp_path / "p.json"], ["--as", hospital, "--url", "nowhere"]):
        assert run("push", *arguments, tmp_path / "p.json").exit_code == 2
    assert run("push", "--as", hospital, tmp_path / "p.ndjson").exit_code == 2


def test_receipt_get_writes_the_receipt_as_it_came(server, hospital, tmp_path):
    server.script["GET", "/fhir/Patient/0123"] = [(200, {"Link": '</ledger/r>; rel="receipt"'}, {})]
    server.script["GET", "/ledger/r"] = [(202, {}, {}), (200, {}, b'{"format": "x"}')]
    out = tmp_path / "out.json"
    pending = run("receipt", "get", "--as", hospital, "Patient/0123", "--out", out)
    assert (pending.exit_code, out.exists()) == (2, False)
    assert "--wait" in pending.stderr
    assert run("receipt", "get", "--as", hospital, "Patient/0123", "--wait", "--out", out).exit_code == 0
    assert out.read_bytes() == b'{"format": "x"}'
    assert run("receipt", "get", "--as", hospital, "Patient/9", "--out", out).exit_code == 1
    assert run("receipt", "get", "--as", hospital, "Patient", "--out", out).exit_code == 2
