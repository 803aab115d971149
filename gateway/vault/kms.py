"""A key-management service that wraps the key-encryption keys: Google Cloud KMS by its REST interface (docs/adr/0029-key-rotation.md).

It is asked when a process starts and when the keys change, never for a request. https://cloud.google.com/kms/docs/reference/rest
"""

import base64
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from requests import Session

SCHEME = "gcp-kms://"
EMULATOR_VARIABLE = "KMS_EMULATOR_HOST"  # a URL; everything goes there, without credentials
_ENDPOINT = "https://cloudkms.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloudkms"
_NAME = re.compile(r"projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+", re.ASCII)
_TIMEOUT = (3.05, 10.0)  # seconds to connect; of silence
_TRIES = 3
_PASSING = (429, 500, 502, 503, 504)


class KmsFailed(GatewayError):
    """The KMS did not do it; the sentence says which key, and what to look at."""


class Kms(Protocol):
    """A key elsewhere that wraps ours."""

    @property
    def uri(self) -> str:
        """Its name, as the settings and the file of the keys have it."""

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """`secret`, so that only this key opens it, and only for `context`. KmsFailed."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The secret. KmsFailed, also if it was wrapped by another key, for another context, or altered."""


def is_kms_uri(uri: str) -> bool:
    """Whether `uri` names a key of Google Cloud KMS: gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K."""
    return uri.startswith(SCHEME) and _NAME.fullmatch(uri.removeprefix(SCHEME)) is not None


def kms_of(uri: str | None) -> Kms | None:
    """The KMS that the setting names, None where it names a file. Opens no connection."""
    return GoogleKms(uri) if uri is not None and is_kms_uri(uri) else None


class GoogleKms:
    """A symmetric key of Google Cloud KMS, used with the credentials that the environment provides (application default credentials).

    What it needs is imported where it is used: a gateway whose keys lie in a file pays for none of it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._name = uri.removeprefix(SCHEME)

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Request and answer are held against their CRC32C, as Google's guide to data integrity asks."""
        told = self._ask("encrypt", {"plaintext": secret, "additionalAuthenticatedData": context})
        if not (told.get("verifiedPlaintextCrc32c") and told.get("verifiedAdditionalAuthenticatedDataCrc32c")):
            raise self._failed("the request was damaged on its way")
        if not str(told.get("name", "")).startswith(self._name + "/cryptoKeyVersions/"):
            raise self._failed("another key answered")
        return self._field(told, "ciphertext")

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        return self._field(self._ask("decrypt", {"ciphertext": wrapped, "additionalAuthenticatedData": context}), "plaintext")

    def _ask(self, method: str, fields: Mapping[str, bytes]) -> dict[str, Any]:
        import google_crc32c
        from requests.exceptions import RequestException

        body = {name: base64.b64encode(value).decode() for name, value in fields.items()}
        body |= {f"{name}Crc32c": str(google_crc32c.value(value)) for name, value in fields.items()}
        address = f"{os.environ.get(EMULATOR_VARIABLE, _ENDPOINT)}/v1/{self._name}:{method}"
        with self._session() as session:
            for attempt in range(1, _TRIES + 1):
                try:
                    answer = session.post(address, json=body, timeout=_TIMEOUT, allow_redirects=False)
                except RequestException as error:
                    if attempt == _TRIES:
                        raise self._failed("it cannot be reached; see that this machine has a way to it") from error
                    continue
                if answer.status_code not in _PASSING or attempt == _TRIES:
                    return self._checked(answer.status_code, answer.content)
        raise AssertionError("the last attempt answers or raises")

    def _checked(self, status: int, content: bytes) -> dict[str, Any]:
        if status == 200:
            try:
                return msgspec.json.decode(content, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise self._failed("its answer cannot be read") from error
        why = {
            400: "it does not open what it is given: the file was wrapped by another key or altered, or the key is disabled",
            401: "it does not accept the credentials of this machine",
            403: "permission denied; the service's account needs cloudkms.cryptoKeyVersions.useToEncrypt and useToDecrypt on it",
            404: "there is no such key",
        }
        raise self._failed(why.get(status, f"it answers with status {status}"))

    def _field(self, told: Mapping[str, Any], name: str) -> bytes:
        import google_crc32c

        try:
            value = base64.b64decode(told[name], validate=True)
            checksum = int(told[f"{name}Crc32c"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._failed("its answer cannot be read") from error
        if google_crc32c.value(value) != checksum:
            raise self._failed("its answer was damaged on its way")
        return value

    def _session(self) -> "Session":
        if os.environ.get(EMULATOR_VARIABLE):
            from requests import Session

            return Session()
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import AuthorizedSession

        try:
            credentials, _ = google.auth.default(scopes=[_SCOPE])
        except GoogleAuthError as error:
            raise self._failed("this machine has no Google credentials; set GOOGLE_APPLICATION_CREDENTIALS") from error
        return AuthorizedSession(credentials)

    def _failed(self, why: str) -> KmsFailed:
        return KmsFailed(f"the key-encryption key cannot be wrapped or unwrapped by {self.uri}: {why}")
