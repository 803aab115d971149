"""From a bucket's address to its store: FHIR_ANCHOR_BUCKET_URL."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.storage.file_store import FileObjectStore
from gateway.storage.port import ObjectStore, verify_name

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")  # Google's rules for names of buckets


def open_object_store(url: str) -> ObjectStore:
    """The store at `url`: `file://` and an absolute folder that exists, `gs://BUCKET` or `gs://BUCKET/PREFIX`.

    Nothing is connected before the first use. ValueError says what is wrong with any other address.
    """
    address = urlsplit(url)
    if address.scheme == "gs":
        return _google(url.removeprefix("gs://"))
    if address.scheme != "file" or address.netloc not in {"", "localhost"} or not address.path.startswith("/"):
        raise ValueError("the bucket's address must be gs://BUCKET, gs://BUCKET/PREFIX, or file:// and an absolute folder")
    return FileObjectStore(Path(unquote(address.path)))


def _google(address: str) -> ObjectStore:
    bucket, _, prefix = address.partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("a Google bucket's name has 3 to 222 lower-case letters, digits, dots, dashes and underscores: gs://BUCKET")
    if prefix:
        try:
            verify_name(prefix)
        except ValueError as error:
            raise ValueError("the prefix in gs://BUCKET/PREFIX may hold letters, digits, dots, dashes, underscores and slashes") from error
    from gateway.storage.gcs_store import GcsObjectStore

    return GcsObjectStore(bucket, prefix and prefix + "/")
