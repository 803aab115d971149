"""The web application on a real socket, in a thread of the test, and a client that signs in by hand."""

import contextlib
import http.client
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import urlencode

from flask import Flask
from joserfc import jwk, jwt
from nacl.signing import SigningKey
from werkzeug.serving import WSGIRequestHandler, make_server

from chain.ledger import Ledger
from chain.transactions import Role
from gateway.bootstrap import open_services, read_genesis
from gateway.founding import found
from gateway.index import parties
from gateway.services import Services
from gateway.settings import load_settings
from gateway.web.app import create_app

FORM = "application/x-www-form-urlencoded"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args):
        pass


@contextlib.contextmanager
def served(app):
    """Yields a Client of `app`."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Client(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Answer(SimpleNamespace):
    """status, headers (lower-case names), body; `outcome` is the OperationOutcome it carries."""

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def outcome(self):
        assert self.headers["content-type"] == "application/fhir+json"
        told = self.json
        assert told["resourceType"] == "OperationOutcome"
        assert all(issue["severity"] and issue["code"] and issue["diagnostics"] for issue in told["issue"])
        return told["issue"]


class Client:
    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method, path, body=None, token=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(status=answer.status, headers={k.lower(): v for k, v in answer.getheaders()}, body=answer.read())

    def raw(self, request):
        """Sends these bytes and nothing more; all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def sign_in(self, form):
        return self.ask("POST", "/auth/token", urlencode(form), Content_Type=FORM)

    def assertion(self, key, client_id, alg="ES384", header=None, **changed):
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": self.url + "/auth/token",
            "exp": now + 240,
            "iat": now,
            "jti": str(uuid.uuid4()),
        }
        claims = {name: value for name, value in (claims | changed).items() if value is not ...}
        return jwt.encode({"alg": alg, "kid": key.kid} | (header or {}), claims, key, algorithms=[alg])

    def form(self, assertion, scope="system/*.cruds", **changed):
        made = {"grant_type": "client_credentials", "scope": scope, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return {name: value for name, value in (made | changed).items() if value is not ...}

    def token(self, key, client_id, scope="system/*.cruds"):
        answer = self.sign_in(self.form(self.assertion(key, client_id), scope))
        assert answer.status == 200, answer.body
        return answer.json["access_token"]


def new_key(kid="k1", curve="P-384"):
    return jwk.ECKey.generate_key(curve, {"kid": kid})


@dataclass(frozen=True)
class Gateway:
    """A running gateway with parties that share their keys: an institution, an agency, and an institution that is suspended."""

    services: Services
    ledger: Ledger
    app: Flask
    client: Client
    hospital: str
    agency: str
    suspended: str


@contextlib.contextmanager
def gateway(home, jwks):
    """A gateway founded in `home`, without its jobs process. `jwks`: keys for sign-in of every party."""
    home = home / "gw"
    found(home, delegates=1, slot_seconds=1, chosen={}, now=int(time.time()), random=os.urandom)
    settings = load_settings(home, {})
    services, ledger = open_services(settings), Ledger.open(settings.effective_ledger_url, read_genesis(settings))
    try:
        names = [_register(services, name, role, jwks) for name, role in (("Hospital", 1), ("Insurer", 2), ("Closed", 1))]
        with services.index.atomic() as connection:
            assert parties.suspend(connection, names[2], 1)
        app = create_app(services, ledger)
        with served(app) as client:
            yield Gateway(services, ledger, app, client, *names)
    finally:
        ledger.close()
        services.index.close()


def _register(services, name, role, jwks):
    client_id, seed = parties.new_client_id(name, os.urandom), os.urandom(32)
    with services.index.atomic() as connection:
        parties.register(
            connection,
            client_id=client_id,
            name=name,
            role=Role(role),
            signing="gateway",
            jwks={"keys": [key.as_dict(private=False) for key in jwks]},
            signing_key=None,
            attestation_key=bytes(SigningKey(seed).verify_key),
            attestation_sealed=services.keyring.seal(f"attestation-key/{client_id}", seed, os.urandom),
            purposes=(),
            now=int(time.time()),
        )
    return client_id
