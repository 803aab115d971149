"""The connection to PostgreSQL breaks at a commit: before the server heard of it, or after, so that only its answer is lost."""

import os
import re
import socket
import threading
from contextlib import suppress

import databases
import pytest
from chain_case import SmallChain, anchor
from intake_case import add_party, open_services, post
from sqlalchemy import func, make_url, select

from chain.database import LedgerUnreachable
from chain.engine import NoQuorum
from chain.lease import LeaseLost
from chain.transactions import parse_transaction
from gateway.errors import Unavailable
from gateway.index import schema as t

pytestmark = pytest.mark.campaign


class CuttingSocket:
    """Between clients and a server on a Unix socket. `cut`: None, or before which COMMIT from now on all connections break, or after which its own."""

    def __init__(self, folder, server_folder):
        self.cut, self._folder, self._server = None, folder, server_folder
        self._open, self._listener = [], socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()
        self._break()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._server}/.s.PGSQL.5432")
            self._open += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(*pair, pair[0] is client), daemon=True).start()

    def _forward(self, come_from, go_to, is_asking):
        with suppress(OSError):
            while data := come_from.recv(65536):
                is_cut = is_asking and self._is_cut(data)
                if is_cut == "before":
                    return self._break()
                go_to.sendall(data)
                if is_cut == "after":
                    # the server goes on, and nobody hears of it
                    break
        return self._break(come_from, go_to)

    def _is_cut(self, data):
        if self.cut is None or not re.search(rb"\bCOMMIT\b", data):
            return None
        when, number = self.cut
        self.cut = (when, number - 1) if number else None
        return None if number else when

    def _break(self, *sockets):
        if not sockets:
            sockets, self._open = tuple(self._open), []  # who comes now is not meant
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def cutting(tmp_path, postgresql_server):
    """The gateway and the ledger of `tmp_path` are reached through it."""
    databases.use(postgresql_server)
    (tmp_path / "s").mkdir()
    found = make_url(databases.url(tmp_path, "gateway")).query["host"]
    between = CuttingSocket(tmp_path / "s", found)
    for name in ("gateway", "ledger"):
        real = databases.url(tmp_path, name)
        variable = next(key for key, value in os.environ.items() if value == real)
        os.environ[variable] = make_url(real).update_query_dict({"host": str(tmp_path / "s")}).render_as_string(hide_password=False)
    yield between
    between.close()
    databases.use(None)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_submission_is_there_once_whether_or_not_its_commit_was_heard_of(tmp_path, cutting, when):
    services = open_services(tmp_path)
    hospital = add_party(services)
    broke = replayed = 0
    for number in range(6):  # those of units that only read are among them
        named = {"idempotency_key": f"once-{number}"}
        cutting.cut = when, number
        with suppress(Unavailable):
            post(services, hospital, {"resourceType": "Patient"}, "Patient", **named)
        broke += cutting.cut is None
        cutting.cut = None
        answer = post(services, hospital, {"resourceType": "Patient"}, "Patient", **named)
        assert answer.results[0].status == "created"
        replayed += answer.replayed
    assert 1 < broke < 6
    assert replayed == 6 - broke + (when == "after")
    with services.index.reading() as connection:
        counts = [connection.scalar(select(func.count()).select_from(table)) for table in (t.resource, t.container, t.outbox)]
    assert counts == [6, 6, 6 + 1], "each with its ANCHOR, and the PARTY"
    services.index.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_chain_goes_on_wherever_a_commit_of_its_slot_broke(tmp_path, cutting, when):
    chain, broke = SmallChain(tmp_path), 0
    reader = chain.ledger()
    for number in range(16):  # commits of a slot: lease, pool, proposal, marks, signature, block
        cutting.cut = when, number
        with suppress(LedgerUnreachable, LeaseLost, NoQuorum):
            chain.submit(anchor(number), first_source=number + 1)
            chain.produce()
        broke += cutting.cut is None
        cutting.cut = None
        chain.submit(anchor(number), first_source=number + 1)  # as from the outbox, at least once
        for _ in range(9):
            if reader.pending():
                chain.produce()
    assert broke > 8
    assert chain.findings() == []
    recorded = [parse_transaction(raw).body for at in range(1, reader.height() + 1) for raw in reader.block(at).transactions]
    assert recorded == [anchor(number) for number in range(16)]
    reader.close()
    chain.close()
