"""A bucket of Google Cloud Storage, or what lies below a prefix of one.

Imported by `gateway.storage.opening` only when a bucket is `gs://`, because Google's library takes most of a second.
`STORAGE_EMULATOR_HOST` (a URL) sends everything to an emulator, without credentials.
"""

import os
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import google.auth
import google_crc32c
from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed, RequestRangeNotSatisfiable, RetryError
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Blob, Bucket, Client
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from gateway.storage.gcs_faults import gcs_faults
from gateway.storage.port import ObjectExists, ObjectMissing, StoredObject, verify_name

CONNECTIONS = 16  # kept open in a process: as many as a web worker has threads
DEADLINE = 8.0  # seconds after which a failed try is not followed by another
_TIMEOUT = (3.05, 8.0)  # seconds to connect; of silence: so an outage is known after 20 seconds
_PAGE = 1000  # names a request, the most there can be
_LISTED = "items(name,size,timeCreated),nextPageToken"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_WRITABLE = ".writable"  # no object's name
_NO_METADATA = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"  # else it asks for the bucket's by itself, in a thread and as administrator
_T = TypeVar("_T")


class GcsObjectStore:
    """Connects at the first use, in each process for itself: a connection shared through a fork would mix up answers.

    A request is tried again for `deadline` seconds where that can help. Every whole body is compared with the store's CRC32C of it, in both
    directions; it is a guard against faults of the line, and what a hostile store answers is for the callers to verify.
    """

    def __init__(self, bucket: str, prefix: str = "", *, deadline: float = DEADLINE) -> None:
        """`prefix` is empty or ends with a slash."""
        self._name, self._prefix = bucket, prefix
        self._retry = DEFAULT_RETRY.with_delay(initial=0.1, maximum=2.0).with_timeout(deadline)
        self._lock = threading.Lock()
        self._is_answering = True
        self._opened: tuple[int, Bucket] | None = None  # with the process that opened it

    def put_if_absent(self, name: str, body: bytes) -> None:
        """One create-only upload, whole or not at all. Durable when it is answered, which is Google's promise."""
        verify_name(name)
        failures: list[Exception] = []
        with gcs_faults():
            try:
                self._until_deadline(lambda: self._put(name, body), failures.append)
            except PreconditionFailed:
                if not failures or not self._is_stored(name, body):
                    raise ObjectExists(name) from None
                # else: a try of this call came through, and only its answer was lost

    def get(self, name: str) -> bytes:
        return self._read(name, lambda: self._get(name))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise ValueError("offset and length are not negative")
        return self._read(name, lambda: self._get_range(name, offset, max(length, 1)))[:length]  # HTTP has no empty range

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Holds a page of names at a time."""
        with gcs_faults():
            bucket = self._bucket()
            listed = {"fields": _LISTED, "page_size": _PAGE, "retry": self._retry, "timeout": _TIMEOUT}
            for blob in bucket.client.list_blobs(bucket, prefix=self._prefix + prefix, **listed):
                if blob.name == self._prefix + _WRITABLE:
                    continue
                yield StoredObject(blob.name.removeprefix(self._prefix), blob.size or 0, int(blob.time_created.timestamp()))

    def delete(self, name: str) -> None:
        verify_name(name)
        with gcs_faults():
            try:
                self._until_deadline(lambda: self._blob(name).delete(retry=None, timeout=_TIMEOUT))
            except NotFound:
                self._require_bucket()

    def check_writable(self) -> None:
        """Puts an empty object, which stays, not listed; later ones are refused for its being there, as only who may write hears."""
        with gcs_faults(), suppress(PreconditionFailed):
            self._until_deadline(lambda: self._put(_WRITABLE, b""))

    def _read(self, name: str, read: Callable[[], bytes]) -> bytes:
        verify_name(name)
        with gcs_faults():
            try:
                return self._until_deadline(read)
            except NotFound:
                self._require_bucket()
                raise ObjectMissing(name) from None

    def _put(self, name: str, body: bytes) -> None:
        blob = self._blob(name)
        blob.upload_from_string(body, "application/octet-stream", checksum="crc32c", if_generation_match=0, retry=None, timeout=_TIMEOUT)
        if not _is_of(blob, body):
            blob.delete(if_generation_match=blob.generation, retry=None, timeout=_TIMEOUT)  # it must not keep the name
            raise ConnectionError("the upload was damaged on its way")

    def _is_stored(self, name: str, body: bytes) -> bool:
        blob = self._blob(name)
        self._until_deadline(lambda: blob.reload(retry=None, timeout=_TIMEOUT))
        return blob.size == len(body) and _is_of(blob, body)

    def _get(self, name: str) -> bytes:
        blob = self._blob(name)
        body: bytes = blob.download_as_bytes(raw_download=True, checksum=None, retry=None, timeout=_TIMEOUT)
        if not _is_of(blob, body):
            raise ConnectionError("the download was damaged on its way")
        return body

    def _get_range(self, name: str, offset: int, length: int) -> bytes:
        blob = self._blob(name)
        asked = {"start": offset, "end": offset + length - 1, "raw_download": True, "checksum": None}
        try:
            body: bytes = blob.download_as_bytes(**asked, retry=None, timeout=_TIMEOUT)
        except RequestRangeNotSatisfiable:  # from the end on
            return b""
        if len(body) != length:
            blob.reload(retry=None, timeout=_TIMEOUT)
            if len(body) != min(length, (blob.size or 0) - offset):
                raise ConnectionError("the answer is not the range asked for")
        return body

    def _require_bucket(self) -> None:
        """NotFound if what was not found is the bucket. Asked by a listing, as `storage.buckets.get` is a right of administrators."""
        bucket = self._bucket()
        asked = {"prefix": self._prefix, "max_results": 1, "fields": _LISTED, "retry": self._retry, "timeout": _TIMEOUT}
        next(iter(bucket.client.list_blobs(bucket, **asked)), None)

    def _until_deadline(self, attempt: Callable[[], _T], on_error: Callable[[Exception], object] | None = None) -> _T:
        """In an outage that has lasted for a whole deadline one try is enough, until one is answered: else an audit would take days."""
        retry = self._retry if self._is_answering else self._retry.with_timeout(0.0)
        try:
            done: _T = retry(attempt, on_error=on_error)()
        except RetryError:
            self._is_answering = False
            raise
        except GoogleAPICallError:  # a refusal is an answer
            self._is_answering = True
            raise
        self._is_answering = True
        return done

    def _blob(self, name: str) -> Blob:
        return self._bucket().blob(self._prefix + name)

    def _bucket(self) -> Bucket:
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = (os.getpid(), _open(self._name))
            return self._opened[1]


def _open(bucket: str) -> Bucket:
    os.environ.setdefault(_NO_METADATA, "true")
    credentials = _credentials()
    session = AuthorizedSession(credentials)
    session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    return Client(project=None, credentials=credentials, _http=session).bucket(bucket)


def _credentials() -> Credentials:
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()
    return google.auth.default(scopes=[_SCOPE])[0]


def _is_of(blob: Blob, body: bytes) -> bool:
    """Whether the store's checksum of the object is that of `body`; it always has one."""
    return bool(blob.crc32c == b64encode(google_crc32c.Checksum(body).digest()).decode())
