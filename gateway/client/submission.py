"""A file as it is submitted: the exact bytes, where they go, and the signature over their entries (docs/design/receipt.md)."""

import base64
import hashlib
from dataclasses import dataclass

import msgspec

from fhir_adapters.bundle import split_bundle
from fhir_adapters.issue import InvalidInput, Issue
from fhir_adapters.text import check_text
from gateway.client.credentials import Credentials
from gateway.vault import primitives, submission

CONTENT_TYPE = "application/fhir+json"


class _Kind(msgspec.Struct):
    resourceType: str = ""  # noqa: N815 - FHIR's name


@dataclass(frozen=True, slots=True)
class Submission:
    """One HTTP request to be: `entries` are the slices of `body` that are signed, in order; `kind` is the type of the whole."""

    kind: str
    body: bytes
    entries: tuple[bytes, ...]

    @property
    def path(self) -> str:
        """A Bundle goes to the base (http://hl7.org/fhir/R4/http.html#transaction), a resource to its type (#create)."""
        return "/fhir" if self.kind == "Bundle" else f"/fhir/{self.kind}"


def parse_submission(content: bytes) -> Submission:
    """A Bundle or a single resource from a file's bytes; a byte order mark is left out. Raises InvalidInput with the faults found."""
    body = check_text(content)
    kind = _kind(body)
    if kind == "Bundle":
        return Submission(kind, body, tuple(entry.raw for entry in split_bundle(body).entries))
    return Submission(kind, body, (body,))


def _kind(body: bytes) -> str:
    try:
        kind = msgspec.json.decode(body, type=_Kind).resourceType
    except msgspec.ValidationError:
        kind = ""
    if not kind.isascii() or not kind.isalpha():
        raise InvalidInput([Issue("structure", "not a FHIR resource: it has no resourceType", "resourceType")])
    return kind


def signed_headers(sent: Submission, credentials: Credentials, now: int) -> dict[str, str]:
    """Headers of the signed request, at `now` (seconds since the epoch).

    The nonce salts the entries, so that one can be shown without the others. It is derived from the signing key and the body: unknown to
    all others, another for each body, and the same when the same file is sent again, so that the gateway knows it for the same message.
    """
    seed = _seed(credentials)
    nonce = primitives.derive(seed, primitives.SUBMISSION_NONCE, hashlib.sha256(sent.body).digest())
    tree = submission.SubmissionTree(sent.entries, nonce)
    signature = submission.sign(seed, client_id=credentials.client_id, iat=now, count=tree.count, root=tree.root)
    return {
        "Content-Type": CONTENT_TYPE,
        "Accept": CONTENT_TYPE,
        "X-Submission-Signature": signature,
        "X-Submission-Nonce": submission.to_base64url(nonce),
    }


def _seed(credentials: Credentials) -> bytes:
    """RFC 8037, 2: `d` of an OKP key is the RFC 8032 private key."""
    text = str(credentials.signing_jwk["d"])
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
