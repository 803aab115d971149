"""One party's connection to a gateway: signs in, keeps the token fresh, asks again where that is safe.

Asked again, with growing pauses or as `Retry-After` says: answers 429 and 503 (nothing was done), and broken connections
when the request may be repeated. A submission may: the gateway replays its answer to the same signed message.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import requests

from gateway.client.credentials import Credentials
from gateway.client.signin import Token, token_form, token_from

TIMEOUT_SECONDS = (10, 300)  # to connect; between bytes of an answer (a large bundle is worked on before its first byte)
MAX_TRIES = 5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0

_TRANSIENT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class Unreachable(Exception):
    """The gateway could not be reached, or kept saying "not now"; what was asked may be tried again later."""


class SignInRefused(Exception):
    """The gateway knows neither this party nor its key, or refuses the scope; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `retried`: an earlier try of this same request broke off after it may have been carried out."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retried: bool = False


class Connection:
    """Not for several threads at once. `sleep` and `clock` (seconds) are arguments so that tests need not wait."""

    def __init__(
        self, credentials: Credentials, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.credentials = credentials
        self._clock = clock
        self._sleep = sleep
        self._session = requests.Session()
        self._session.auth = _as_it_is
        self._token: Token | None = None

    def sign_in(self) -> None:
        """Fetch a token now. Raises SignInRefused or Unreachable."""

        def send() -> requests.Response:  # an assertion is good for one try
            form = token_form(self.credentials, int(self._clock()), str(uuid.uuid4()))
            return self._session.post(self.credentials.token_url, data=form, timeout=TIMEOUT_SECONDS, allow_redirects=False)

        answer = self._tried(send, repeatable=True)
        told = _json(answer.body)
        self._token = token_from(told, self._clock()) if answer.status == requests.codes.ok else None
        if self._token is None:
            raise SignInRefused(_refusal(answer.status, told))

    def access_token(self) -> str:
        """A token that holds for now, for another client to use. Raises SignInRefused, Unreachable."""
        return self._authorization()["Authorization"].removeprefix("Bearer ")

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, repeatable: bool = True
    ) -> Answer:
        """One request with a token that holds; any status but 401, 429 and 503 is the caller's to judge.

        `path` starts with a slash, or is an absolute URL at the same gateway. Raises Unreachable, SignInRefused.
        """
        url = self._address(path)

        def send() -> requests.Response:
            signed_in = {**(headers or {}), **self._authorization()}
            return self._session.request(method, url, data=body, headers=signed_in, timeout=TIMEOUT_SECONDS, allow_redirects=False)

        answer = self._tried(send, repeatable=repeatable)
        if answer.status == requests.codes.unauthorized:  # revoked or the gateway's keys changed: once more with a fresh token
            self._token = None
            answer = self._tried(send, repeatable=repeatable)
        if answer.status == requests.codes.unauthorized:
            raise SignInRefused("the gateway does not accept the token that it gave")
        return answer

    def close(self) -> None:
        self._session.close()

    def _address(self, path: str) -> str:
        if path.startswith("/"):
            return self.credentials.base_url + path
        if not path.startswith(self.credentials.base_url + "/"):
            raise ValueError(f"{path} is not at {self.credentials.base_url}: the token is not sent there")
        return path

    def _authorization(self) -> dict[str, str]:
        if self._token is None or self._clock() >= self._token.renew_at:
            self.sign_in()
        assert self._token is not None
        return {"Authorization": f"Bearer {self._token.value}"}

    def _tried(self, send: Callable[[], requests.Response], *, repeatable: bool) -> Answer:
        broken = False
        for attempt in range(MAX_TRIES):
            try:
                response = send()
            except _TRANSIENT as error:
                never_sent = isinstance(error, requests.exceptions.ConnectTimeout) or "NewConnectionError" in repr(error)
                if attempt == MAX_TRIES - 1 or not (repeatable or never_sent):
                    raise Unreachable(
                        f"{self.credentials.base_url} cannot be reached: is the gateway running there, is --url right?"
                    ) from error
                broken = broken or not never_sent
                self._sleep(_pause(attempt))
                continue
            if response.status_code not in (429, 503):
                return Answer(response.status_code, response.headers, response.content, broken)
            if attempt < MAX_TRIES - 1:
                self._sleep(min(_retry_after(response.headers.get("Retry-After"), self._clock()) or _pause(attempt), LONGEST_PAUSE_SECONDS))
        raise Unreachable(f"{self.credentials.base_url} answered {response.status_code} to {MAX_TRIES} tries: it is overloaded or starting")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without an `auth` of its own, requests puts what ~/.netrc says over our Authorization header."""
    return request


def _pause(attempt: int) -> float:
    return float(min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS))


def _retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3: a number or a date), None where the header says nothing usable."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _refusal(status: int, told: object) -> str:
    """RFC 6749, 5.2, in words."""
    if isinstance(told, dict) and isinstance(told.get("error"), str):
        more = told.get("error_description")
        why = f" ({more})" if isinstance(more, str) else ""
        hint = "; are these credentials of this gateway? check --url" if told["error"] == "invalid_client" else ""
        return f"sign-in refused: {told['error']}{why}{hint}"
    return f"sign-in refused: the token address answered {status}"
