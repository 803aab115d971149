"""The gate of the first path: real bundles through a running server, every receipt checked offline, every tampering found."""

import json
import re
import shutil
import sqlite3
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner
from gateway_process import served
from real_data import files

from gateway import independent, verification
from gateway.cli import main

SYNTHEA = files("synthea-r4-v2.4-smart/*.json")[:3]  # none where the real data is absent: then the project's own bundle alone
DEMO = Path(str(resources.files("gateway").joinpath("assets/demo-bundle.json")))


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A gateway with one hospital's bundles, all of them final; stopped again. Yields (gateway, credentials, answers, receipts, records)."""
    folder = tmp_path_factory.mktemp("first-path")
    bundles = [*SYNTHEA, DEMO]
    with served(folder, "--shared-system", "https://github.com/synthetichealth/synthea") as gateway:
        hospital = gateway.party()
        told = gateway.json("push", "--as", hospital, *bundles)
        again = gateway.json("push", "--as", hospital, *bundles)
        gateway.wait_final()
        connection = gateway.connect(hospital)
        records = {r["record"]: connection.ask("GET", f"/fhir/{r['record']}") for r in told["receipts"]}
        receipts = {name: connection.ask("GET", "/ledger/receipts/" + name) for name in records}
        connection.close()
        proven(gateway, next(iter(receipts.values())).body)
        gateway.stop()
    return gateway, bundles, told, again, records, receipts


def proven(gateway, receipt):
    """Files beside the home: a receipt, its proof for foreign tools, and by whose signatures that is checked."""
    (gateway.folder / "receipt.json").write_bytes(receipt)
    (gateway.folder / "policy.txt").write_text(run("--home", gateway.home, "ledger", "policy").stdout)
    of = ("--genesis", gateway.home / "genesis.json", "--policy", gateway.folder / "policy.txt")
    run(
        "receipt",
        "tlog-proof",
        gateway.folder / "receipt.json",
        "--url",
        gateway.url,
        *of,
        "--wait",
        "--out",
        gateway.folder / "r.tlog-proof",
    )


def run(*arguments, code=0):
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done


def test_every_resource_is_stored_once(pushed):
    _, bundles, told, again, records, _ = pushed
    entries = sum(len(json.loads(path.read_bytes())["entry"]) for path in bundles)
    assert (told["created"], told["failed"], told["resources"]) == (entries, 0, entries)
    assert len(records) == entries, "every resource has an id of its own"
    assert (again["created"], again["unchanged"], again["failed"]) == (0, entries, 0)
    assert {answer.status for answer in records.values()} == {200}
    assert {answer.headers["ETag"] for answer in records.values()} == {'W/"1"'}


def test_every_receipt_is_final_and_fits_its_record_and_no_other(pushed):
    gateway, _, _, _, records, receipts = pushed
    genesis = (gateway.home / "genesis.json").read_bytes()
    assert {answer.status for answer in receipts.values()} == {200}
    for name, answer in receipts.items():
        verdict = verification.verify_receipt(answer.body, genesis, records[name].body)
        assert verdict.who == "in a submission signed by Test Hospital"
        assert verdict.reference == name + "/_history/1"
    for name, answer in list(receipts.items())[::100]:
        altered = records[name].body[:-2] + b" " + records[name].body[-2:]
        with pytest.raises(verification.ReceiptInvalid):
            verification.verify_receipt(answer.body, genesis, altered)
        assert independent.verify_receipt(answer.body, genesis, records[name].body)
        with pytest.raises(independent.Invalid):
            independent.verify_receipt(answer.body, genesis, altered)


def test_a_receipt_exports_as_a_proof_of_the_log_that_the_delegates_cosigned(pushed):
    folder, genesis = pushed[0].folder, pushed[0].home / "genesis.json"
    verify = ("receipt", "verify-tlog-proof", "--genesis", genesis)
    [proof] = json.loads(run(*verify, "--json", "--policy", folder / "policy.txt", folder / "r.tlog-proof").stdout)["proofs"]
    assert (proof["kind"], proof["not_checked"], len(proof["cosigned_by"])) == ("ANCHOR", [], 4)
    assert "not checked" in run(*verify, folder / "r.tlog-proof").stdout
    policy = (folder / "policy.txt").read_text()
    (folder / "other.txt").write_text(re.sub("^witness.*\n|^group.*\n", "", policy, flags=re.MULTILINE))
    run(*verify, "--policy", folder / "other.txt", folder / "r.tlog-proof", code=2)
    forged = (folder / "r.tlog-proof").read_bytes().replace(b"index ", b"index 1")
    (folder / "forged.tlog-proof").write_bytes(forged)
    run(*verify, folder / "forged.tlog-proof", code=1)


def test_an_audit_of_what_was_pushed_is_clean(pushed):
    gateway = pushed[0]
    report = gateway.json("audit", "run")
    assert (report["findings"], report["pending"], report["could_not_check"]) == ([], [], [])
    assert report["checked"]["containers"] == len(pushed[1])


@pytest.mark.parametrize(
    ("code", "tamper"),
    [
        ("container-altered", lambda home: _flip(next((home / "bucket").rglob("*.container")), 100)),
        ("container-missing", lambda home: _delete(next((home / "bucket").rglob("*.container")))),
        ("vote-invalid", lambda home: _rewrite(home, "votes")),
        ("block-invalid", lambda home: _rewrite(home, "header")),
    ],
)
def test_tampering_is_named_by_the_audit(pushed, tmp_path, code, tamper):
    gateway = pushed[0]
    copy = tmp_path / "gateway"
    shutil.copytree(gateway.home, copy)
    place = tamper(copy)
    kept, gateway.home = gateway.home, copy
    try:
        report = gateway.json("audit", "run", expect=1)
    finally:
        gateway.home = kept
    assert code in {finding["code"] for finding in report["findings"]}
    assert any(place in finding["subject"] for finding in report["findings"]), report["findings"]


def _flip(path, at):
    body = bytearray(path.read_bytes())
    body[at] ^= 1
    path.write_bytes(body)
    return path.name


def _delete(path):
    path.unlink()
    return path.name


def _rewrite(home, column):
    """Flips a bit in the middle of a column of block 1: where slots come late, all is in that one."""
    with sqlite3.connect(home / "ledger.db") as database:
        (value,) = database.execute(f"SELECT {column} FROM block WHERE height = 1").fetchone()
        changed = bytearray(value)
        changed[len(changed) // 2] ^= 1
        database.execute(f"UPDATE block SET {column} = ? WHERE height = 1", (bytes(changed),))
    database.close()
    return "height 1"


def test_no_clinical_text_or_identifier_lies_anywhere_in_clear(pushed):
    gateway, bundles = pushed[:2]
    secrets = {value for path in bundles for value in _telling_values(json.loads(path.read_bytes()))}
    assert len(secrets) > (300 if SYNTHEA else 20)
    needles = re.compile(b"|".join(re.escape(secret.encode()) for secret in sorted(secrets)))
    looked_at = [
        path
        for path in gateway.folder.rglob("*")
        if path.is_file() and path.suffix in (".db", ".log", ".container", ".db-wal", ".watermark")
    ]
    assert {path.suffix for path in looked_at} >= {".db", ".log", ".container"}
    for path in looked_at:
        found = needles.search(path.read_bytes())
        assert found is None, (path.name, found)
        assert needles.search(str(path.relative_to(gateway.folder)).encode()) is None


def _telling_values(node):
    """Names, identifiers, birth dates, addresses, displays and texts in a document, where they are long enough to be no accident."""
    if isinstance(node, list):
        for item in node:
            yield from _telling_values(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if (
                isinstance(value, str)
                and key in {"family", "value", "birthDate", "display", "text", "city", "div", "fullUrl"}
                and len(value) >= 8
            ):
                yield value
            elif key in {"given", "line"}:
                yield from (item for item in value if isinstance(item, str) and len(item) >= 8)
            else:
                yield from _telling_values(value)
