"""`fhir-anchor ledger`: choosing the delegates of a real chain from the command line and over HTTP, slot by slot."""

import json
import os
import re
import time

import pytest
from chain_case import key
from click.testing import CliRunner
from ledger_home import LedgerHome
from scripted_server import Server
from web_gateway import served

from chain import archive
from chain.encoding import decode
from chain.keys import SigningKey
from chain.stake import DelegateAction, DelegateBody, TransferBody, VoteBody
from chain.store import LedgerStore
from chain.transactions import AnchorBody, parse_transaction, sign_transaction
from gateway import founding, stake_submission
from gateway.cli import main
from gateway.client.delegate_home import found_home
from gateway.errors import Unavailable
from gateway.index import outbox
from gateway.key_files import read_key, write_key
from gateway.settings import BadSetting, load_settings
from gateway.web import verify
from gateway.web.app import create_app
from jobs.audit_ledger import verify_ledger
from jobs.audit_storage import Bounds, verify_names


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(founding, "EPOCH_BLOCKS", 2)
    home = LedgerHome(tmp_path)
    yield home
    home.close()


def why(home, name):
    """Why a delegate does not vote, as `ledger delegates` says."""
    return next(one["why_not_acting"] for one in home.told("delegates")["delegates"] if one["name"] == name)


FOUR = {f"delegate-{number}" for number in range(1, 5)}


def test_a_delegate_is_registered_elected_and_acts(home):
    assert home.names("acting") == home.names("following") == FOUR
    assert home.told("stake", home.holder)["weight"] == 1_000_000
    home.run("delegate", "register", "Nordvik", "--key", home.holder)
    home.produce(1)
    assert "nobody who holds stake approves of it" in why(home, "Nordvik")
    home.produce(1)
    home.run("vote", "--key", home.holder, "delegate-1", "delegate-2", "delegate-3", "Nordvik")
    home.produce(1)
    assert "elected with block 4, and votes from block 7 on" in why(home, "Nordvik")
    home.produce(1)
    assert "it is elected, and votes from block 7 on" in why(home, "Nordvik")
    assert home.names("following") == {"delegate-1", "delegate-2", "delegate-3", "Nordvik"}
    assert home.names("acting") == FOUR
    home.produce(2)
    assert home.names("acting") == {"delegate-1", "delegate-2", "delegate-3", "Nordvik"}
    assert why(home, "Nordvik") is None
    assert "nobody who holds stake approves" in why(home, "delegate-4")
    assert "does not vote: nobody who holds" in home.run("delegates").stdout
    home.run("delegate", "resign", "--key", home.path / "keys" / "delegate-4.json")
    home.produce(3)
    rows = {one["name"]: one for one in home.told("delegates")["delegates"]}
    assert (rows["Nordvik"]["voted"], rows["Nordvik"]["could_vote"]) == (3, 3)
    assert "delegate-4" not in rows, "it resigned"
    turns = home.told("schedule", "--slots", 8)["slots"]
    assert {turn["name"] for turn in turns} == home.names("acting")
    assert all(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", turn["at"]) for turn in turns)
    store = LedgerStore.open(home.settings.effective_ledger_url, home.genesis, read_only=True)
    report = verify_ledger(store, home.genesis, home.settings.keys_path)
    store.close()
    assert (report.findings, report.could_not_check) == ((), ())


def test_a_new_gateway_says_which_delegates_are_here_and_which_elsewhere(tmp_path):
    given = [word for name in ("Nordvik", "Sorvik", "Vestvik") for word in ("--delegate", f"{name}={key(name).public.hex()}")]
    made = CliRunner().invoke(main, ["--home", str(tmp_path / "gw"), "init", *given])
    assert made.exit_code == 0, made.output
    assert "delegates     1 here, 3 elsewhere (Nordvik, Sorvik, Vestvik); a block needs 3\n" in made.stdout
    assert "fhir-anchor delegate --key KEY.json" in made.stdout
    told = json.loads(CliRunner().invoke(main, ["--home", str(tmp_path / "two"), "init", *given, "--json"]).stdout)
    assert (told["delegates"], told["delegates_here"]) == (4, 1)
    assert [other["name"] for other in told["delegates_elsewhere"]] == ["Nordvik", "Sorvik", "Vestvik"]


def test_a_switch_is_planned_by_what_the_chain_has_and_the_program_knows(home):
    home.produce(1)
    assert home.told("status")["format"] == 2
    assert "has version 2 of its format" in home.run("switch", "--to", 2, "--from", 9, code=2).stderr
    assert "knows versions 1 to 2" in home.run("switch", "--to", 3, "--from", 9, code=2).stderr
    assert home.settings.ledger_switch is None


def test_a_planned_switch_takes_effect_at_its_height(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIR_ANCHOR_LEDGER_SWITCH", "1 from 1")
    home = LedgerHome(tmp_path)
    home.produce(1)
    assert home.told("status")["format"] == 1
    monkeypatch.delenv("FHIR_ANCHOR_LEDGER_SWITCH")
    assert "come after them" in home.run("switch", "--to", 2, "--from", 1, code=2).stderr
    assert home.told("switch", "--to", 2, "--from", 3)["from_height"] == 3
    home.produce(2)
    assert [home.ledger.block(height).header.version for height in (1, 2, 3)] == [1, 1, 2]
    with pytest.raises(BadSetting, match="knows versions 1 to 2"):
        load_settings(home.path, {"FHIR_ANCHOR_LEDGER_SWITCH": "3 from 9"})
    home.ledger.close()
    home.services.index.close()


def test_a_delegate_begins_with_a_snapshot_and_its_copy_is_verified_from_there(home, tmp_path):
    assert "no block yet" in home.run("snapshot", "--out", tmp_path / "none", code=2).stderr
    home.produce(3)
    file, key_path, copy = tmp_path / "chain.snapshot", tmp_path / "k.json", tmp_path / "copy"
    told = home.told("snapshot", "--out", file)
    assert (told["height"], told["hash"], told["size"]) == (3, home.ledger.block(3).hash.hex(), file.stat().st_size)
    assert "is not written over" in home.run("snapshot", "--out", file, code=2).stderr
    key = write_key(key_path, "Nordvik", os.urandom(32))
    found_home(copy, home.path / "genesis.json", key, key_path.with_suffix(".watermark"), file)
    verify = ["delegate", "verify", "--home", str(copy), "--key", str(key_path)]
    result = CliRunner().invoke(main, verify)
    assert (result.exit_code, "what comes after it holds: 0 blocks" in result.stdout) == (0, True)
    (copy / "snapshot").write_bytes(file.read_bytes()[:-1])
    result = CliRunner().invoke(main, verify)
    assert (result.exit_code, "cut off" in result.stderr) == (2, True)
    (copy / "snapshot").unlink()
    result = CliRunner().invoke(main, [*verify, "--json"])
    assert (result.exit_code, json.loads(result.stdout)["verified_after"]) == (1, 3)


def test_an_exported_chain_is_verified_without_its_gateway(home, tmp_path):
    home.produce(3)
    file, genesis, copy = tmp_path / "chain.export", home.path / "genesis.json", tmp_path / "copy"
    assert home.told("export", "--out", file)["height"] == 3

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, ["ledger", *map(str, arguments), "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        return json.loads(result.stdout) if result.stdout else result.stderr

    told = run("import", file, "--to", copy, "--genesis", genesis)
    assert told == {"holds": True, "copy": str(copy), "chain_id": home.genesis.chain_id.hex(), "height": 3}
    assert run("verify", "--copy", copy)["findings"] == []
    assert "is not empty" in run("import", file, "--to", copy, code=2)
    (tmp_path / "other.json").write_bytes(genesis.read_bytes() + b"\n")
    assert "another chain" in run("import", file, "--to", tmp_path / "b", "--genesis", tmp_path / "other.json", code=1)["reason"]
    file.write_bytes(file.read_bytes()[:-1])
    assert "cut off" in run("import", file, "--to", tmp_path / "c", code=1)["reason"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chain.export", "copy", "gw", "other.json"]


def test_archived_blocks_are_served_audited_and_backed_up(home, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "PACK", 4)
    home.produce(12)
    blocks = [home.ledger.block(height) for height in range(1, 13)]
    moved = home.told("archive", "--keep-epochs", 1)
    assert moved["packs"] >= 2
    assert [home.services.ledger.block(height) for height in range(1, 13)] == blocks
    assert home.run("verify")
    store, bounds = home.services.store, Bounds(int(time.time()) + 3600, 60)
    foreign = archive.pack_name(1, bytes(32))
    store.put_if_absent(foreign, b"")
    found = verify_names(list(store.list()), home.services.ledger, home.services.index, bounds).findings
    assert [(one.code, one.subject) for one in found] == [("orphan-object", foreign)]
    file = tmp_path / "a.tar"
    backup = ["backup", "create", "--out", str(file)]
    assert CliRunner().invoke(main, ["--home", str(home.path), *backup]).exit_code == 0
    assert CliRunner().invoke(main, ["backup", "verify", str(file)]).exit_code == 0
    store.delete(next(item.name for item in store.list("ledger/")))
    result = CliRunner().invoke(main, ["backup", "verify", str(file)])
    assert (result.exit_code, "its chain" in result.stderr) == (1, True)
    assert home.told("verify", code=1)["findings"][-1]["code"] == "pack-missing"


def test_the_audit_knows_the_marks_of_later_delegates(home):
    home.run("delegate", "register", "Nordvik", "--key", home.holder)
    (home.path / "keys" / "delegate-5.watermark").unlink()
    store = LedgerStore.open(home.settings.effective_ledger_url, home.genesis, read_only=True)
    report = verify_ledger(store, home.genesis, home.settings.keys_path)
    store.close()
    assert ["delegate-5.watermark" in reason for reason in report.could_not_check] == [True]


def test_weight_moves_and_the_rest_of_the_commands(home):
    other = home.path / "other.json"
    write_key(other, "other", os.urandom(32))
    home.run("transfer", "--key", home.holder, other, 400_000)
    home.run("delegate", "resign", "--key", home.path / "keys" / "delegate-2.json")
    home.produce(1)
    assert home.told("stake", other)["weight"] == 400_000
    told = home.told("delegates", code=1)
    assert told["warning"]
    assert "delegate-2" in {one["name"] for one in told["delegates"] if one["gone"] and one["acting"]}
    home.run("stake", "00" * 32, code=1)


def test_what_is_refused_and_what_cannot_be_done(home, tmp_path):
    assert "not-jailed" in home.run("delegate", "unjail", "--key", home.path / "keys" / "delegate-1.json", code=1).stderr
    assert "holds-no-stake" in home.run("vote", "--key", home.path / "keys" / "delegate-1.json", "delegate-1", code=1).stderr
    assert "no delegate stands" in home.run("vote", "--key", home.holder, "nobody", code=2).stderr
    home.run("vote", "--key", tmp_path / "none.json", code=2)
    home.run("vote", "--key", home.holder, "--url", "http://127.0.0.1:9", code=2)
    home.run("vote", "--key", home.holder, "--url", "http://127.0.0.1:9", "--genesis", home.path / "genesis.json", "ab" * 32, code=2)
    (tmp_path / "evidence.json").write_text("{}")
    home.run("evidence", "--key", home.holder, tmp_path / "evidence.json", code=2)
    assert outbox_of(home) == []


def test_evidence_from_a_file(home, tmp_path):
    from chain.block import sign_vote

    delegate = read_key(home.path / "keys" / "delegate-3.json")
    signed = [(hash_, sign_vote(delegate, home.genesis.chain_id, 9, hash_)) for hash_ in (b"b" * 32, b"a" * 32)]
    told = {"offence": "voted", "delegate": delegate.public.hex(), "height": 9, "signed": [[a.hex(), b.hex()] for a, b in signed]}
    (tmp_path / "evidence.json").write_text(json.dumps(told))
    home.run("evidence", "--key", home.holder, tmp_path / "evidence.json")
    home.produce(1)
    assert "delegate-3" in {one["name"] for one in home.told("delegates", code=1)["delegates"] if one["gone"]}


def outbox_of(home):
    with home.services.index.reading() as connection:
        return outbox.signed(connection)


def test_who_floods_the_line_shuts_out_nobody_and_delays_no_anchor(home):
    """A holder of little, who spread it over many keys."""
    chain_id, holder, little = home.genesis.chain_id, read_key(home.holder), [SigningKey.from_seed(bytes([n] * 32)) for n in range(17)]

    def signed(body, signer, valid_until=100):
        return sign_transaction(body, valid_until, signer, chain_id).raw

    def send(*given):
        return stake_submission.submit_signed(home.services.index, home.ledger, signed(*given), 0)

    def put(*transactions):
        with home.services.index.atomic() as connection:
            for raw in transactions:
                outbox.add_signed(connection, raw, 0)

    put(*(signed(TransferBody(key.public, 1), holder) for key in little))
    home.produce(1)
    put(*(signed(VoteBody(()), key, 100 + at) for key in little[:16] for at in range(16)))
    with pytest.raises(Unavailable):
        send(VoteBody(()), little[16])
    put(*(signed(VoteBody(()), holder, 100 + at) for at in range(15)))
    send(VoteBody(()), holder, 200)
    with pytest.raises(Unavailable):
        send(VoteBody(()), holder, 201)
    resigning = read_key(home.path / "keys" / "delegate-2.json")
    send(DelegateBody(DelegateAction.RESIGN), resigning)
    with pytest.raises(Unavailable):
        send(DelegateBody(DelegateAction.RESIGN), resigning, 101)
    [anchor] = [row for row in pending(home) if row.kind == 2]
    home.produce(1)
    taken = [parse_transaction(raw).body for raw in home.ledger.block(2).transactions]
    assert (taken[0].digest, len(taken), len(outbox_of(home))) == (decode(anchor.body)[0], 33, 256 + 17 - 32)


def pending(home):
    with home.services.index.reading() as connection:
        return outbox.pending(connection)


def test_over_http(home, monkeypatch):
    holder = read_key(home.holder)

    def signed(body, signer=holder, valid_until=100):
        return sign_transaction(body, valid_until, signer, home.genesis.chain_id).raw

    delegates = [delegate.key for delegate in home.genesis.delegates]
    with served(create_app(home.services, home.ledger)) as client:

        def post(raw):
            return client.ask("POST", "/ledger/transactions", raw, Content_Type="application/cbor")

        told = client.ask("GET", "/ledger/delegates").json
        assert set(told["acting"]) == set(told["following"]) == {one["key"] for one in told["standing"]} == {key.hex() for key in delegates}
        raw = signed(VoteBody(tuple(sorted(delegates))))
        assert [post(raw).status for _ in range(2)] == [202, 202]
        assert outbox_of(home) == [raw]
        stranger = SigningKey.from_seed(bytes(32))
        refused = {
            "malformed": b"junk",
            "holds-no-stake": signed(VoteBody(()), stranger),
            "signature-invalid": raw[:-1] + bytes([raw[-1] ^ 1]),
            "from outside": signed(AnchorBody(bytes(32), 1, bytes(32), 1, 1), read_key(home.path / "keys" / "gateway.json")),
            "stake-too-small": signed(TransferBody(stranger.public, 1_000_001)),
            "unknown kind": b"\xa6\x00\x01\x01\x03" + raw[5:],
        }
        for reason, body in refused.items():
            answer = post(body)
            assert (answer.status, reason in answer.outcome[0]["diagnostics"]) == (422, True), (reason, answer.body)
        assert post(bytes(5000)).status == 413
        monkeypatch.setattr(stake_submission, "MAX_WAITING_OF_ONE", 3)
        assert [post(signed(VoteBody(()), valid_until=at)).status for at in (11, 12, 13)] == [202, 202, 503]
        home.run("vote", "--key", home.holder, "--url", client.url, "--genesis", home.path / "genesis.json", "delegate-1", code=2)
        home.produce(1)
        assert home.ledger.rejected() == []
        assert post(raw).status == 422
        home.run("vote", "--key", home.holder, "--url", client.url, "--genesis", home.path / "genesis.json", "delegate-1")
        home.run("vote", "--key", home.path / "keys" / "gateway.json", "--url", client.url, "--genesis", home.path / "genesis.json", code=1)
        home.produce(1)
        assert [one.hex() for one in home.ledger.delegates.stake(holder.public).votes] == [delegates[0].hex()]


def test_proofs_are_got_checked_and_kept(home):
    """At home and from afar: the same files, which `receipt verify` takes; a pin to begin at; and what is not there."""
    home.produce(5)
    genesis, out = home.path / "genesis.json", home.path / "proof.json"
    gateway = json.loads(genesis.read_text())["parties"][0]["client_id"]
    asked = (
        ("finality", 3),
        ("inclusion", "--index", 1),
        ("inclusion", "--index", 1, "--size", 3),
        ("consistency", 1, 3),
        ("state", "party", gateway),
        ("state", "party", "nobody"),
        ("state", "roll"),
    )
    words = home.run("prove", "state", "party", gateway).stdout
    assert re.search(rf"entry +party {gateway}\n +name +fhir-anchor gateway\n +role +gateway\n +signs with +[0-9a-f]{{64}}\n", words)
    assert re.search(r"entry +party nobody\n +holds +nothing", home.run("prove", "state", "party", "nobody").stdout)
    assert re.search(r"entry +roll\n +all stake +1000000\n( +stands +[0-9a-f]{64}\n){4}", home.run("prove", "state", "roll").stdout)
    assert "ANCHOR, number 1 of the log" in home.run("prove", "inclusion", "--index", 1).stdout
    assert "the root of its first 1 transaction, of 3, is" in home.run("prove", "consistency", 1, 3).stdout
    with served(create_app(home.services, home.ledger)) as client:
        afar = ("--url", client.url, "--genesis", genesis)
        for number, question in enumerate(asked):
            told = home.told("prove", *question, "--out", out)
            assert told["result"] == "valid"
            here = out.read_bytes()
            home.run("prove", *question, "--out", out, *afar, *(["--independent"] if number % 2 else []))
            assert out.read_bytes() == here
            verified = CliRunner().invoke(main, ["receipt", "verify", str(out), "--genesis", str(genesis)])
            assert (verified.exit_code, "VALID" in verified.stdout) == (0, True)
        assert home.told("prove", "state", "party", "nobody")["says"]["value"] is None
        pin = home.path / "pin.json"
        assert home.told("pin", "--height", 2, "--out", pin)["height"] == 2
        home.run("prove", "consistency", "--pin", pin, *afar)
        assert "older than the pinned" in home.run("prove", "finality", 1, "--pin", pin, code=2).stderr
        home.run("pin", *afar, "--pin", pin, "--out", pin)
        assert json.loads(pin.read_text())["height"] == home.ledger.height()
        assert "no such final block" in home.run("prove", "finality", 99, *afar, code=2).stderr
        assert "kind is one of" in home.run("prove", "state", "people", code=2).stderr
        assert "needs --genesis" in home.run("prove", "finality", "--url", client.url, code=2).stderr
        assert "--pin" in home.run("prove", "consistency", code=2).stderr
        assert "--out" in home.run("pin", code=2).stderr
        assert "is no pin" in home.run("prove", "finality", "--pin", genesis, code=2).stderr


def test_proofs_over_http_say_how_long_they_hold_and_another_than_the_asked_one_is_noticed(home):
    home.produce(3)
    with served(create_app(home.services, home.ledger)) as client:
        for question, lasts in (
            ("finality?height=2", True),
            ("finality", False),
            ("inclusion?index=0", True),
            ("consistency?first=1&second=2", True),
            ("consistency?first=1", False),
            ("state?kind=roll", False),
        ):
            answer = client.ask("GET", f"/ledger/proofs/{question}")
            assert answer.status == 200
            assert ("immutable" in answer.headers["cache-control"]) == lasts
            assert "max-age" in answer.headers["cache-control"]
        for question, status in (
            ("finality?height=99", 404),
            ("finality?height=0", 404),
            ("finality?height=-1", 400),
            ("finality?height=1&height=2", 400),
            ("finality?size=1", 400),
            ("finality?height=1&from=2", 404),
            ("inclusion", 400),
            ("inclusion?index=0&transaction=00", 400),
            ("inclusion?transaction=00", 400),
            (f"inclusion?transaction={'00' * 32}", 404),
            ("inclusion?index=9999999999999999", 400),
            ("consistency", 400),
            ("consistency?first=0", 404),
            ("consistency?first=2&second=1", 404),
            ("consistency?first=1&second=99", 404),
            ("state", 400),
            ("state?kind=party", 200),
            ("state?kind=anchor&name=xyz", 400),
            ("state?kind=roll&name=x", 400),
            ("everything", 404),
        ):
            answer = client.ask("GET", f"/ledger/proofs/{question}")
            assert answer.status == status, question
            if status != 200:
                assert answer.outcome
                assert answer.headers["cache-control"] == "no-store"
    server = Server()
    try:
        for kept, asked, path in (
            (("finality", 1), ("finality", 2), "finality?height=2"),
            (("state", "roll"), ("state", "elected"), "state?kind=elected&name="),
            (("inclusion", "--index", 0), ("inclusion", "--index", 1), "inclusion?index=1"),
            (("consistency", 1, 2), ("consistency", 2, 2), "consistency?first=2&second=2"),
        ):
            home.run("prove", *kept, "--out", home.path / "other.json")
            server.script["GET", f"/ledger/proofs/{path}"] = [(200, {}, (home.path / "other.json").read_bytes())]
            ran = home.run("prove", *asked, "--url", server.url, "--genesis", home.path / "genesis.json", "--out", home.path / "x", code=1)
            assert "something else" in ran.stdout
            assert not (home.path / "x").exists()
    finally:
        server.close()


def test_a_batch_over_http_is_answered_line_by_line(home):
    home.produce(2)
    with served(create_app(home.services, home.ledger)) as client:
        proof = client.ask("GET", "/ledger/proofs/finality?height=1").body
        body = b"\n".join([proof, b"{}", b"", b"x" * (verify.LONGEST_LINE + 1), b'{"receipt":' + proof + b',"record":"text"}', proof])
        answer = client.ask("POST", "/ledger/verify", body)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
        *told, counts = map(json.loads, answer.body.splitlines())
        assert [(one["line"], one["result"]) for one in told] == [
            (1, "valid"),
            (2, "invalid"),
            (4, "invalid"),
            (5, "invalid"),
            (6, "valid"),
        ]
        assert counts == {"valid": 2, "invalid": 3, "could_not_check": 0}
        assert client.ask("POST", "/ledger/verify", b"x", Content_Encoding="gzip").status == 415
        assert client.ask("POST", "/ledger/verify", b"", Content_Length=str(1 << 40)).status == 413
        cut = client.raw(b"POST /ledger/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" + (proof + b"\n") * 6 + proof[:99])
        *told, counts = [json.loads(line) for line in cut.splitlines() if line.startswith(b"{")]
        assert {one["result"] for one in told[:-1]} == {"valid"}, "a line that was cut short is none"
        assert told[-1]["result"] == "could not check"
        assert counts["could_not_check"] == 1
        for _ in range(verify.PLACES):
            assert verify._places.acquire(blocking=False), "every batch before gave its place back"
        try:
            assert client.ask("POST", "/ledger/verify", proof).status == 429
        finally:
            for _ in range(verify.PLACES):
                verify._places.release()
