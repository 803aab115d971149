"""The web application on a real socket, in a thread of the test, and a client that signs in by hand."""

import contextlib
import http.client
import json
import threading
import time
import uuid
from types import SimpleNamespace
from urllib.parse import urlencode

from joserfc import jwk, jwt
from werkzeug.serving import WSGIRequestHandler, make_server

from gateway.web.app import create_app

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args):
        pass


@contextlib.contextmanager
def served(services):
    """Yields a Client of an application on `services`."""
    server = make_server("127.0.0.1", 0, create_app(services), threaded=True, request_handler=Quiet)
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

    def sign_in(self, form):
        return self.ask("POST", "/auth/token", urlencode(form), Content_Type="application/x-www-form-urlencoded")

    def assertion(self, key, client_id, alg="ES384", header=None, **changed):
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": self.url + "/auth/token", "exp": now + 240, "iat": now, "jti": str(uuid.uuid4())}
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
