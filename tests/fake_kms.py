"""A stand-in of ours for Google Cloud KMS: encrypt and decrypt of its REST interface over real HTTP, with the checks that it documents."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google_crc32c
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME = "projects/p/locations/europe-west3/keyRings/gateway/cryptoKeys/kek"
URI = "gcp-kms://" + NAME


class FakeKms:
    """`fault`: None, or (method, what): a status to answer with, "damaged", "unverified", "other-key", "wrong" or "no-json"."""

    def __init__(self):
        self.fault = None
        self.asked = []
        self.keys = {NAME: bytes(range(32))}
        kms = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                name, _, method = self.path.removeprefix("/v1/").rpartition(":")
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, told = kms.answer(name, method, body)
                text = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, name, method, body):
        self.asked.append((method, name))
        fault = self.fault[1] if self.fault and self.fault[0] == method else None
        if isinstance(fault, int):
            return fault, {"error": {"code": fault}}
        if fault == "no-json":
            return 200, b"<html>"
        if name not in self.keys:
            return 404, {"error": {"code": 404}}
        fields = {k: base64.b64decode(body[k]) for k in ("plaintext", "ciphertext", "additionalAuthenticatedData") if k in body}
        for field, value in fields.items():
            if int(body[field + "Crc32c"]) != google_crc32c.value(value):
                return 400, {"error": {"code": 400}}
        aad, key = fields["additionalAuthenticatedData"], AESGCM(self.keys[name])
        if method == "encrypt":
            out, made = "ciphertext", b"n" * 12 + key.encrypt(b"n" * 12, fields["plaintext"], aad)
        else:
            try:
                out, made = "plaintext", key.decrypt(fields["ciphertext"][:12], fields["ciphertext"][12:], aad)
            except InvalidTag:
                return 400, {"error": {"code": 400}}
        if fault == "wrong":
            made = bytes(len(made))
        told = {"name": name + "/cryptoKeyVersions/1", out + "Crc32c": str(google_crc32c.value(made)), "protectionLevel": "SOFTWARE"}
        told |= {"verifiedPlaintextCrc32c": True, "verifiedAdditionalAuthenticatedDataCrc32c": True}
        if fault == "damaged":
            made = made[:-1] + bytes([made[-1] ^ 1])
        elif fault == "unverified":
            del told["verifiedPlaintextCrc32c"]
        elif fault == "other-key":
            told["name"] = name + "2/cryptoKeyVersions/1"
        return 200, told | {out: base64.b64encode(made).decode()}


@contextmanager
def fake_kms():
    kms = FakeKms()
    thread = threading.Thread(target=kms.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield kms
    finally:
        kms.server.shutdown()
        kms.server.server_close()
        thread.join()
