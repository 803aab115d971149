"""The log's checkpoint as a gateway serves it: signed by the log, cosigned by delegates here and elsewhere, with tiles and proofs of it."""

import itertools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from chain_case import key
from click.testing import CliRunner
from msgspec.structs import replace
from web_gateway import served

from chain import merkle
from chain.ballot import Ballot
from chain.checkpoint import Checkpoint, cosign, log_verifier, origin_of
from chain.engine import EmbeddedEngine
from chain.genesis import Delegate
from chain.keys import COSIGNING_KEY, LOG_KEY
from chain.ledger import Ledger
from chain.log import inclusion_path
from chain.note import Note, VerifierKey, note_of, verify_note
from chain.stake import cosigner
from chain.store import LedgerStore
from chain.transactions import AnchorBody, PartyAction, PartyBody, Role, parse_transaction, sign_transaction
from chain.watermark import DoubleSign, Duty, Watermark, create_watermark, read_marks
from gateway import checkpoint_keys, proving
from gateway.bootstrap import open_services
from gateway.checkpoints import verifiers
from gateway.cli import main
from gateway.client.blocks import RemoteChain
from gateway.client.delegate import ChainContradicted, Delegation
from gateway.client.delegate_home import found_home, replica_of
from gateway.client.tlog import RemoteLog, tile_path
from gateway.founding import found
from gateway.index import ballots, outbox
from gateway.index.database import Index
from gateway.key_files import delegate_key_paths, read_key
from gateway.settings import Settings, load_settings
from gateway.tlog_policy import Policy
from gateway.upgrading import planned, upgrade
from gateway.web.app import create_app
from jobs.checkpoints import CheckpointSigning
from jobs.produce_blocks import BlockProduction

NORDVIK = key("a delegate elsewhere")


@dataclass
class Home:
    """A gateway with three delegates and a fourth elsewhere, whose slots are called by hand."""

    settings: Settings
    index: Index
    ledger: Ledger
    production: BlockProduction
    checkpoints: CheckpointSigning
    client: object
    slot: int = 0

    def step(self, *, sign=True, entries=1):
        """A block with one more transaction, if it is the slot of somebody here, and its checkpoint."""
        height = self.ledger.height()
        with self.index.atomic() as connection:
            for _ in range(entries):
                outbox.add(connection, AnchorBody(os.urandom(32), 1, os.urandom(32), 1, 1), 0)
        while self.ledger.height() == height:
            self.slot += 1
            self.production.produce(self.ledger.genesis.slot_time(self.slot))
        if sign:
            self.checkpoints.sign(time.time())

    def served(self):
        answer = self.client.ask("GET", "/ledger/checkpoint")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        return Note.from_bytes(answer.body)

    def cosigners(self):
        """The delegates whose cosignatures the served checkpoint has, by their keys' beginning."""
        logs, cosigners = verifiers(self.ledger)
        verified = verify_note(self.served(), [*logs, *(verifier for _, verifier in cosigners)])
        assert verified[0][0] == logs[0]
        return [verifier.name.rpartition("/")[2] for verifier, _ in verified[1:]]

    def here(self):
        return sorted(read_key(path).public.hex() for path in delegate_key_paths(self.settings.keys_path))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "gw"
    elsewhere = (Delegate("Nordvik", NORDVIK.public),)
    began = int(time.time()) - 100_000
    genesis = found(folder, delegates=3, slot_seconds=1, chosen={}, now=began, random=os.urandom, elsewhere=elsewhere)
    settings = load_settings(folder, {})
    services, store = open_services(settings), LedgerStore.open(settings.effective_ledger_url, genesis)
    ledger = Ledger(store, genesis)
    keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
    engine = EmbeddedEngine.open(store, genesis, keys)
    mark = checkpoint_keys.log_watermark(settings.keys_path, genesis.chain_id)
    production = BlockProduction(services.index, engine, ledger, read_key(settings.keys_path / "gateway.json"))
    signing = CheckpointSigning(services.index, engine, ledger, checkpoint_keys.log_key(settings.keys_path), mark)
    with served(create_app(services, ledger)) as client:
        home = Home(settings, services.index, ledger, production, signing, client)
        assert client.ask("GET", "/ledger/checkpoint").status == 404
        home.step()
        yield home
    mark.close()
    engine.close()
    store.close()
    services.index.close()


@pytest.fixture(scope="module")
def nordvik(home, tmp_path_factory):
    """The delegate elsewhere, whose registration is recorded: it takes a turn when it is called."""
    with home.index.atomic() as connection:
        body = cosigner(NORDVIK, home.ledger.genesis.chain_id)
        outbox.add_signed(connection, sign_transaction(body, 1000, NORDVIK, home.ledger.genesis.chain_id).raw, 0)
    home.step()
    folder = tmp_path_factory.mktemp("nordvik")
    found_home(folder / "home", home.settings.genesis_path, NORDVIK, folder / "key.watermark")
    events = []
    chain = RemoteChain(home.client.url)
    with replica_of(folder / "home", NORDVIK, folder / "key.watermark") as (replica, genesis):
        delegation = Delegation(replica, genesis, chain, folder, lambda event, **facts: events.append({"event": event, **facts}))
        delegation.events, delegation.replica, delegation.folder = events, replica, folder
        yield delegation
    chain.close()


def test_it_is_signed_by_the_log_of_the_genesis_and_cosigned_by_the_delegates_here(home):
    head, genesis = home.ledger.head(), home.ledger.genesis
    note = home.served()
    assert Checkpoint.from_text(note.text) == Checkpoint(f"fhir-anchor/{genesis.chain_id.hex()}", head.log_size, head.log_root)
    [party] = [party for party in genesis.parties if party.role is Role.GATEWAY]
    assert verify_note(note, [log_verifier(genesis.chain_id, party.attestation_key)])
    assert sorted(home.cosigners()) == home.here()
    keys = {signature.key_id for signature in note.signatures}
    known = {party.signing_key, party.attestation_key, *map(bytes.fromhex, home.here())}
    assert len(keys) == 4
    assert len(known) == 5, "no key is another's"


def test_a_checkpoint_follows_each_block_and_none_goes_back(home):
    before = Checkpoint.from_text(home.served().text)
    home.step(sign=False)
    assert Checkpoint.from_text(home.served().text) == before, "the block is final, the log has not signed it yet"
    home.checkpoints.sign(time.time())
    after = Checkpoint.from_text(home.served().text)
    assert after.size == before.size + 1
    mark = home.settings.keys_path / "log.watermark"
    marks = read_marks(mark, home.ledger.genesis.chain_id, checkpoint_keys.log_key(home.settings.keys_path).public)
    assert marks == {Duty.COSIGN: (home.ledger.height(), home.ledger.head().hash())}


def test_the_log_signs_no_other_block_of_a_height(home, tmp_path):
    """As after a restore of an older state: the mark says that another block was there."""
    key_, chain_id = checkpoint_keys.log_key(home.settings.keys_path), home.ledger.genesis.chain_id
    home.step(sign=False)
    create_watermark(tmp_path / "other", chain_id, key_.public, {Duty.COSIGN: (home.ledger.height(), bytes(32))})
    other = Watermark(tmp_path / "other", chain_id, key_.public)
    before = home.served()
    CheckpointSigning(home.index, home.production._engine, home.ledger, key_, other).sign(time.time())
    assert home.served() == before
    with pytest.raises(DoubleSign):
        other.advance(Duty.COSIGN, home.ledger.height(), home.ledger.head().hash())
    other.close()
    home.checkpoints.sign(time.time())
    assert home.served() != before


def test_a_delegate_elsewhere_cosigns_what_is_final_in_its_own_copy(home, nordvik):
    nordvik.turn()
    assert sorted(home.cosigners()) == sorted([*home.here(), NORDVIK.public.hex()])
    head = home.ledger.head()
    marks = read_marks(nordvik.folder / "key.watermark", home.ledger.genesis.chain_id, NORDVIK.public)
    assert marks[Duty.COSIGN] == (head.height, head.hash())
    assert [one for one in nordvik.events if one["event"] == "signed"][-1]["duty"] == "cosigned"
    home.step()
    assert NORDVIK.public.hex() not in home.cosigners(), "what it cosigned is another head"
    nordvik.turn()
    assert NORDVIK.public.hex() in home.cosigners()


def test_a_copy_that_was_begun_anew_does_not_cosign_what_is_older_than_its_mark(home, nordvik):
    ballot = nordvik.replica.cosign(1)
    assert (ballot.height, ballot.signature[:8]) == (nordvik.replica.height, (1).to_bytes(8, "big")), "the same again is no harm"
    nordvik.replica._delegate._watermark.advance(Duty.COSIGN, ballot.height + 1, bytes(32))
    with pytest.raises(DoubleSign):
        nordvik.replica.cosign(2)


def _forged(home, nordvik, defect):
    """A ballot of the delegate elsewhere on the last checkpoint with one thing wrong, and the status that it is answered with."""
    genesis, head, now = home.ledger.genesis, home.ledger.head(), int(time.time())
    checkpoint = Checkpoint(origin_of(genesis.chain_id), head.log_size, head.log_root)
    cosigning = NORDVIK.derived(COSIGNING_KEY)
    right = Ballot(Duty.COSIGN, head.height, head.hash(), NORDVIK.public, cosign(cosigning, checkpoint, now))
    other_time = (now + 1).to_bytes(8, "big") + right.signature[8:]
    return {
        "right": (right, 202),
        "wrong origin": (replace(right, signature=cosign(cosigning, replace(checkpoint, origin="fhir-anchor/00"), now)), 422),
        "flipped root": (replace(right, signature=cosign(cosigning, replace(checkpoint, root=bytes(32)), now)), 422),
        "older size": (replace(right, signature=cosign(cosigning, replace(checkpoint, size=1), now)), 422),
        "another time": (replace(right, signature=other_time), 422),
        "a time that has not come": (replace(right, signature=cosign(cosigning, checkpoint, now + 3600)), 422),
        "the delegate's own key": (replace(right, signature=cosign(NORDVIK, checkpoint, now)), 422),
        "an unknown delegate": (replace(right, delegate=key("nobody").public), 403),
        "an earlier block": (replace(right, height=1, block_hash=home.ledger.header(1).hash()), 409),
        "another block": (replace(right, block_hash=bytes(32)), 409),
    }[defect]


DEFECTS = ("wrong origin", "flipped root", "older size", "another time", "a time that has not come", "the delegate's own key")


@pytest.mark.parametrize("defect", [*DEFECTS, "an unknown delegate", "an earlier block", "another block", "right"])
def test_a_cosignature_is_kept_only_if_it_holds(home, nordvik, defect):
    if defect == DEFECTS[0]:
        home.step()
    forged, status = _forged(home, nordvik, defect)
    assert home.client.ask("POST", "/ledger/votes", forged.to_bytes()).status == status
    assert (NORDVIK.public.hex() in home.cosigners()) == (defect == "right")


def test_what_was_edited_in_the_database_is_left_out(home, nordvik):
    home.step()
    with home.index.reading() as connection:
        rows = {row.delegate.hex(): row for row in ballots.cosignatures(connection)}
    edited = rows[home.here()[0]]
    with home.index.atomic() as connection:
        ballots.put(connection, replace(edited, signature=bytes(72)))
    assert sorted(home.cosigners()) == home.here()[1:]
    log = rows[checkpoint_keys.log_key(home.settings.keys_path).public.hex()]
    with home.index.atomic() as connection:
        ballots.put(connection, replace(log, signature=bytes(64)))
    assert home.client.ask("GET", "/ledger/checkpoint").status == 404, "never a note that the log has not signed"
    home.step()


def test_tiles_and_entries_prove_every_transaction_against_it(home):
    home.step(entries=300)
    size, root = (checkpoint := Checkpoint.from_text(home.served().text)).size, checkpoint.root
    log = RemoteLog(home.client.url)
    assert log.checkpoint() == home.served().to_bytes()
    read = log.tiles(size)
    entries = [home.client.ask("GET", f"/ledger/{path}") for path in ("tile/entries/000", f"tile/entries/001.p/{size - 256}")]
    assert all(answer.headers["cache-control"].startswith("public, max-age=31536000") for answer in entries)
    leaves = [merkle.leaf_hash(raw) for raw in _entries(b"".join(answer.body for answer in entries))]
    assert len(leaves) == size
    assert merkle.root(leaves) == root
    for index in (0, 255, 256, size - 1):
        assert merkle.root_from_path(leaves[index], index, size, inclusion_path(read, index, size)) == root
    assert home.client.ask("GET", "/ledger/tile/1/000.p/1").body == merkle.root(leaves[:256])


def _entries(bundle):
    while bundle:
        size = int.from_bytes(bundle[:2], "big")
        yield bundle[2 : 2 + size]
        bundle = bundle[2 + size :]


@pytest.mark.parametrize(
    "path",
    [
        "0/001",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/0",
        "0/0000",
        "0/x000/000",
        "0/x001",
        "1/000",
        "64/000",
        "0/999.p/3",
        "00/000",
        "entries/001",
        "entries/002.p/1",
        "-1/000",
        "0/000.p/1/",
        "0/000/p/1",
        "entries/x999/x999/x999/x999/x999/x999/x999/999",
        "entries/x999/x999/x999/x999/x999/999",
        "entries/x036/x028/x797/x018/x963/967.p/255",
        "0/x999/x999/x999/x999/x999/999",
    ],
)
def test_a_tile_that_is_not_there_or_is_spelled_otherwise(home, path):
    assert home.client.ask("GET", f"/ledger/tile/{path}").status == 404


@pytest.mark.parametrize(("number", "width", "path"), [(1234067, 256, "x001/x234/067"), (5, 12, "005.p/12"), (1000, 256, "x001/000")])
def test_names_of_tiles(number, width, path):
    assert tile_path(0, number, width) == f"tile/0/{path}"


def test_an_earlier_home_makes_its_keys_known_by_upgrade(tmp_path):
    """Its genesis has no key of the log, its chain no cosigners; a second upgrade finds nothing to do, before and after the block."""
    genesis = found(tmp_path / "gw", delegates=4, slot_seconds=1, chosen={}, now=int(time.time()) - 1000, random=os.urandom)
    settings = load_settings(tmp_path / "gw", {})
    services, store = open_services(settings), LedgerStore.open(settings.effective_ledger_url, genesis)
    ledger = Ledger(store, genesis)
    with services.index.atomic() as connection:
        rotated = PartyBody(PartyAction.ROTATE, "gateway", *_party(ledger), key("earlier").public)
        waiting = outbox.pending(connection, from_outside=True)
        assert len(waiting) == 4, "init has put them in line"
        outbox.done(connection, [row.id for row in waiting])
        outbox.add(connection, rotated, 0)
    engine = EmbeddedEngine.open(
        store, genesis, [(read_key(p), p.with_suffix(".watermark")) for p in delegate_key_paths(settings.keys_path)]
    )
    production = BlockProduction(services.index, engine, ledger, read_key(settings.keys_path / "gateway.json"))
    slots = itertools.count(1)
    production.produce(genesis.slot_time(next(slots)))
    assert planned(settings).registers == ["gateway", "delegate-1", "delegate-2", "delegate-3", "delegate-4"]
    upgrade(settings, int(time.time()))
    assert planned(settings).is_empty
    production.produce(genesis.slot_time(next(slots)))
    assert planned(settings).is_empty
    assert ledger.log_keys() == [read_key(settings.keys_path / "gateway.json").derived(LOG_KEY).public]
    for path in delegate_key_paths(settings.keys_path):
        registered = ledger.delegates.cosigner(read_key(path).public)
        assert registered.key == read_key(path).derived(COSIGNING_KEY).public
        [raw] = ledger.entries(registered.log_index, registered.log_index + 1)
        assert parse_transaction(raw).signer == read_key(path).public
    engine.close()
    store.close()
    services.index.close()


def _party(ledger):
    entry = ledger.party("gateway")
    return entry.name, entry.role, entry.signing_key


def test_the_policy_names_the_keys_that_the_chain_has(home, nordvik):
    done = CliRunner().invoke(main, ["--home", str(home.settings.home), "ledger", "policy"])
    policy = Policy.parse(done.stdout.encode())
    assert [verifier.public for verifier in policy.logs] == home.ledger.log_keys()
    assert {verifier.name.rpartition("/")[2] for verifier in policy.witnesses.values()} == {*home.here(), NORDVIK.public.hex()}
    assert policy.groups["delegates"][0] == 3
    assert all(VerifierKey.from_text(verifier.to_text()) == verifier for verifier in policy.verifiers())
    assert "# Nordvik\n" in done.stdout


def _said(result):
    """What the command printed, and not the server of the same process."""
    return "".join(line for line in result.stdout.splitlines(keepends=True) if "[info " not in line)


def test_an_auditor_elsewhere_is_told_the_same_policy_and_checks_it(home, nordvik, tmp_path):
    def run(*args, code=0):
        result = CliRunner().invoke(main, ["--home", str(tmp_path / "nothing"), "ledger", *map(str, args)])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    here = CliRunner().invoke(main, ["--home", str(home.settings.home), "ledger", "policy"]).stdout
    afar = ("--url", home.client.url, "--genesis", home.settings.genesis_path)
    for how in ((), ("--independent",)):
        first, _, rest = _said(run("policy", *afar, *how)).partition("\n")
        assert rest == here
        assert f"# after block {home.ledger.height()} (" in first
    pin = tmp_path / "pin.json"
    run("pin", *afar, "--out", pin)
    told = json.loads(_said(run("policy", *afar, "--pin", pin, "--json")))
    assert told["proven_at"] == {"height": home.ledger.height(), "hash": home.ledger.head().hash().hex()}
    assert run("policy", "--genesis", home.settings.genesis_path, code=2).stderr.startswith("fhir-anchor: --genesis goes with --url")
    assert "needs --genesis" in run("policy", "--url", home.client.url, code=2).stderr
    holder = home.settings.keys_path / "stake.json"
    assert _said(run("stake", holder, *afar)).startswith("weight 1000000 of 1000000\n  approves of ")
    nothing = json.loads(_said(run("stake", NORDVIK.public.hex(), *afar, "--json", code=1)))
    assert (nothing["weight"], nothing["proven_at"]["height"]) == (0, home.ledger.height())


@pytest.mark.parametrize("kind", ["roll", "party", "delegate", "cosigner"])
def test_a_policy_that_a_gateway_makes_up_is_refused(home, nordvik, kind):
    """Whatever entry it denies or takes from another place."""
    answer = proving.proven

    def lying(ledger, what, asked):
        return answer(ledger, what, {**asked, "kind": "elected", "name": ""} if asked["kind"] == kind else asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.web.proofs.proven", lying)
        command = ["ledger", "policy", "--url", home.client.url, "--genesis", str(home.settings.genesis_path)]
        refused = CliRunner().invoke(main, command)
    assert (refused.exit_code, "it proves something else than what was asked" in refused.stdout) == (1, True)


def test_what_was_proven_at_two_blocks_is_asked_for_again(home, nordvik):
    """Blocks come while a policy is asked for: it is of one of them."""
    answer, left = proving.proven, [1]

    def moving(ledger, what, asked):
        if left[0] and asked["kind"] == "party":
            left[0] -= 1
            home.step()
        return answer(ledger, what, asked)

    command = ["ledger", "policy", "--url", home.client.url, "--genesis", str(home.settings.genesis_path), "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.web.proofs.proven", moving)
        told = CliRunner().invoke(main, command)
        assert (told.exit_code, json.loads(_said(told))["proven_at"]["height"]) == (0, home.ledger.height())
        left[0] = 99
        patch.setattr("gateway.commands.proven_state.TRIES", 2)
        assert "went on each time" in CliRunner().invoke(main, command).stderr


def _note(home, checkpoint, *, key_=None):
    """A note of the log, as who holds its key can make it."""
    key_ = key_ or checkpoint_keys.log_key(home.settings.keys_path)
    text = checkpoint.to_text()
    verifier = log_verifier(home.ledger.genesis.chain_id, key_.public)
    return note_of(text, [verifier.line(key_.sign_note(text.encode()))])


class TwoFaced(RemoteChain):
    """Shows outsiders, and whoever asks as they do, `note` in place of the log's checkpoint."""

    note = None

    def checkpoint(self):
        return self.note or super().checkpoint()


@pytest.fixture
def watching(home, tmp_path):
    """A delegate elsewhere that has not begun yet: with a copy, a mark and a folder for its proofs, before a gateway of two faces."""
    found_home(tmp_path / "home", home.settings.genesis_path, NORDVIK, tmp_path / "key.watermark")
    chain, said = TwoFaced(home.client.url), []
    with replica_of(tmp_path / "home", NORDVIK, tmp_path / "key.watermark") as (replica, genesis):
        proofs = tmp_path / "refused"
        delegation = Delegation(replica, genesis, chain, proofs, lambda event, **told: said.append((event, told)), sleep=_never)
        delegation.chain, delegation.said, delegation.home = chain, said, tmp_path / "home"
        yield delegation
    chain.close()


def _never(seconds):
    pytest.fail("nothing was found")


def _cosigned(watching):
    return [told["height"] for event, told in watching.said if event == "signed" and told["duty"] == "cosigned"]


def test_a_log_that_signs_another_root_for_outsiders_is_found_by_who_cosigns(home, nordvik, watching):
    head = home.ledger.head()
    forged = Checkpoint(origin_of(head.chain_id), head.log_size - 1, bytes(32))
    watching.chain.note = _note(home, forged)
    with pytest.raises(ChainContradicted) as caught:
        watching.run()
    assert (caught.value.finding.code.value, caught.value.finding.subject) == ("split-view", f"checkpoint of size {forged.size}")
    assert _cosigned(watching) == []
    proof = json.loads(Path(watching.said[-1][1]["proof"]).read_bytes())
    kept = Note.from_bytes(proof["shown"]["checkpoint"].encode())
    assert kept == Note.from_bytes(watching.chain.note), "the log's own signature stands in the proof"
    assert verify_note(kept, [log_verifier(head.chain_id, key) for key in home.ledger.log_keys()])


def test_a_log_that_signs_more_than_there_is_is_found_when_the_chain_was_asked_for_again(home, nordvik, watching):
    head = home.ledger.head()
    ahead = _note(home, Checkpoint(origin_of(head.chain_id), head.log_size + 1, bytes(32)))
    watching.chain.note = ahead
    watching.turn()
    assert [event for event, _ in watching.said if event == "refused"] == [], "it may be of a block that comes now"
    watching.chain.note, watching._after = None, ""
    with pytest.raises(ChainContradicted, match="more than the"):
        watching.turn()


def test_a_checkpoint_of_a_block_that_came_meanwhile_is_none_of_another_log(home, nordvik, watching):
    watching.turn()
    home.step()
    watching._inspect()  # as if the block had come between the question for the chain and the one for its checkpoint
    assert watching._log._ahead is not None
    watching.turn()
    assert (watching._log._ahead, watching._log.holds) == (None, True)
    assert _cosigned(watching) == [home.ledger.height() - 1, home.ledger.height()]


def test_what_the_log_has_not_signed_is_refused_once_and_nothing_is_cosigned(home, nordvik, watching):
    head = home.ledger.head()
    right = Checkpoint(origin_of(head.chain_id), head.log_size, head.log_root)
    own = log_verifier(head.chain_id, home.ledger.log_keys()[0])
    forged = [
        b"\xff\x00 no note",
        _note(home, right, key_=NORDVIK),
        _note(home, replace(right, origin="fhir-anchor/00")),
        note_of(right.to_text(), [own.line(NORDVIK.sign_note(right.to_text().encode()))]),
    ]
    for watching.chain.note in [note for note in forged for _ in range(2)]:
        watching._after = ""
        watching.turn()
    assert [told["code"] for event, told in watching.said if event == "refused"] == ["checkpoint-invalid"] * len(forged)
    assert _cosigned(watching) == []
    home.step()
    watching.chain.note = None
    watching.turn()
    assert _cosigned(watching) == [home.ledger.height()]


def test_an_outsider_s_checkpoint_is_compared_with_a_delegate_s_copy(home, nordvik, watching, tmp_path):
    watching.turn()
    head = home.ledger.head()
    of_before = Checkpoint(origin_of(head.chain_id), head.log_size - 1, home.ledger.log_root(head.log_size - 1))

    def asked(checkpoint):
        (tmp_path / "note").write_bytes(_note(home, checkpoint))
        arguments = ["delegate", "verify", "--json", "--home", str(watching.home), "--checkpoint", str(tmp_path / "note")]
        done = CliRunner().invoke(main, arguments)
        return done.exit_code, done.stdout and [one["code"] for one in json.loads(done.stdout)["findings"]]

    assert asked(of_before) == (0, [])
    assert asked(replace(of_before, root=bytes(32))) == (1, ["split-view"])
    assert asked(replace(of_before, size=head.log_size + 1))[0] == 2
