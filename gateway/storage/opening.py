"""From a bucket's address to its store: FHIR_ANCHOR_BUCKET_URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.storage.file_store import FileObjectStore
from gateway.storage.port import ObjectStore


def open_object_store(url: str) -> ObjectStore:
    """The store at `url`, a `file://` address of an absolute folder that exists. ValueError says what is wrong with any other."""
    address = urlsplit(url)
    if address.scheme == "gs":
        raise ValueError("gs:// buckets are not in this version; use a file:// address")
    if address.scheme != "file" or address.netloc not in {"", "localhost"} or not address.path.startswith("/"):
        raise ValueError("the bucket's address must be file:// and an absolute folder")
    return FileObjectStore(Path(unquote(address.path)))
