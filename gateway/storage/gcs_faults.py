"""What Google Cloud Storage and the way to it can refuse, as `Unavailable` with a sentence; names of buckets and objects stay out of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError, TooManyRequests, Unauthorized
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from requests import RequestException
from requests.exceptions import Timeout
from urllib3.exceptions import HTTPError

from gateway.errors import Unavailable

_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (NotFound, "the bucket does not exist"),
    (Forbidden, "access is denied; the account needs the role Storage Object User (roles/storage.objectUser) on the bucket"),
    (Unauthorized, "the Google credentials are not accepted"),
    (TooManyRequests, "the bucket takes no more requests for now"),
    (DefaultCredentialsError, "no Google credentials; run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS"),
    (TransportError, "Google's sign-in cannot be reached"),
    (GoogleAuthError, "the Google credentials are not accepted"),
    (Timeout, "no answer in time"),
    (RequestException, "it cannot be reached"),
    (HTTPError, "the answer broke off"),
    (ConnectionError, "the answer broke off or was damaged"),
)


@contextmanager
def gcs_faults() -> Iterator[None]:
    """Raises `Unavailable` for whatever the library raises for the store's reasons."""
    try:
        yield
    except (GoogleAPICallError, RetryError, GoogleAuthError, RequestException, HTTPError, ConnectionError) as error:
        cause = error.cause if isinstance(error, RetryError) and error.cause is not None else error
        raise Unavailable(f"storage: {_sentence(cause)}") from error


def _sentence(cause: Exception) -> str:
    sentence = next((sentence for kind, sentence in _SENTENCES if isinstance(cause, kind)), None)
    if sentence is None and isinstance(cause, GoogleAPICallError):
        return f"it answers with HTTP status {cause.code}"
    return sentence or "no answer in time"
