"""What a hostile or broken gateway may send a delegate: nothing of it costs more than an answer may, or ends otherwise than as an error."""

from itertools import count

import pytest
from chain_case import GENESIS
from scripted_server import HANG_UP, Server

from chain.ballot import Ballot
from chain.watermark import Duty
from gateway.client.blocks import BallotNotTaken, ChainUnreachable, RemoteChain
from gateway.client.bounded_answer import MAX_ANSWER
from gateway.client.ledger import LedgerUnreachable, RemoteLedger

PROPOSAL = ("GET", "/ledger/proposal?after=")
GOOD = {"after": "m", "height": 0, "hash": "00" * 32, "proposal": None}
BALLOT = Ballot(Duty.VOTE, 1, bytes(32), bytes(32), bytes(64))


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def chain(server):
    chain = RemoteChain(server.url)
    yield chain
    chain.close()


def test_an_answer_in_its_form_is_read(server, chain):
    server.script[PROPOSAL] = [(200, {}, GOOD), (204, {}, b"")]
    assert chain.progress().after == "m"
    assert chain.progress() is None
    assert chain.block(1) is None


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"x" * (MAX_ANSWER + 1)),
        (200, {}, b"["),
        (200, {}, b"[" * 100_000),
        (200, {}, {**GOOD, "height": -1}),
        (200, {}, {**GOOD, "height": 1 << 63}),
        (200, {}, {**GOOD, "hash": "zz"}),
        (200, {}, {**GOOD, "after": "m" * 1000}),
        (200, {}, {**GOOD, "proposal": {"header": "", "transactions": ["AA"] * 5001, "signature": None}}),
        (200, {}, {**GOOD, "proposal": {"header": "*", "transactions": [], "signature": None}}),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
        (404, {}, {}),
        (503, {}, {"issue": [{"diagnostics": "not now"}]}),
        HANG_UP,
    ],
)
def test_whatever_else_comes_is_asked_for_again_later(server, chain, answer):
    server.script[PROPOSAL] = [answer]
    with pytest.raises(ChainUnreachable):
        chain.progress()


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"x" * (MAX_ANSWER + 1)),
        (200, {}, b"[" * 100_000),
        (200, {}, {}),
        (200, {}, {"height": [], "standing": {}}),
        (200, {}, {"height": -1, "standing": [{"key": "zz", "name": "n"}]}),
        (503, {}, b"[]"),
        HANG_UP,
    ],
)
def test_who_asks_a_ledger_from_afar_bears_as_much(server, answer):
    ledger = RemoteLedger(server.url, GENESIS)
    server.script["GET", "/ledger/head"] = server.script["GET", "/ledger/delegates"] = [answer] * 2
    for ask in (ledger.height, ledger.standing):
        with pytest.raises(LedgerUnreachable):
            ask()


def test_an_answer_that_takes_too_long_is_not_waited_for(server):
    server.script[PROPOSAL] = [(200, {}, GOOD)]
    chain = RemoteChain(server.url, count(0, 100).__next__)  # every look at the clock is 100 seconds later
    with pytest.raises(ChainUnreachable, match="longer"):
        chain.progress()
    chain.close()


def test_a_ballot_is_taken_refused_or_tried_again(server, chain):
    server.script["POST", "/ledger/votes"] = [(202, {}, b""), (409, {}, {"issue": [{"diagnostics": "late"}]}), (503, {}, {})]
    chain.send(BALLOT)
    with pytest.raises(BallotNotTaken, match="late"):
        chain.send(BALLOT)
    with pytest.raises(ChainUnreachable):
        chain.send(BALLOT)
    assert server.seen[0][3] == BALLOT.to_bytes()
