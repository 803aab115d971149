"""The object store as the ledger reads its old transactions from it; nothing is connected before the first is wanted."""

from chain.archive import MAX_PACK_BYTES, ObjectReader
from gateway.storage.opening import open_object_store
from gateway.storage.port import ObjectMissing


def object_reader(url: str) -> ObjectReader:
    """Reads the store at `url`. What it returns raises `gateway.errors.Unavailable` while that cannot be reached."""

    def read(name: str) -> bytes | None:
        try:
            return open_object_store(url).get_range(name, 0, MAX_PACK_BYTES + 1)  # what is larger does not have its digest
        except ObjectMissing:
            return None

    return read
