"""Whether a bucket can be a gateway's: tried out with an object of its own before anything relies on it."""

from gateway.storage.port import ObjectExists, ObjectStore


class BucketUnfit(Exception):
    """The bucket answers, but not as a gateway needs it; the text says how."""


def verify_bucket(store: ObjectStore, random_name: str) -> None:
    """Put, get, list, delete one object of this name, and see that it is not overwritten. Nothing of it is left.

    The bucket must be empty: the sweeper of each of two gateways in one bucket would take the other's containers for orphans.
    Raises BucketUnfit, or Unavailable as the store does.
    """
    if next(iter(store.list()), None) is not None:
        raise BucketUnfit("it is not empty; each gateway needs a bucket, or a prefix in one, of its own")
    try:
        store.put_if_absent(random_name, b"first")
        if _is_overwritten(store, random_name):
            raise BucketUnfit("it lets objects be overwritten")
        if store.get(random_name) != b"first" or [found.name for found in store.list()] != [random_name]:
            raise BucketUnfit("it does not give back what was put")
    finally:
        store.delete(random_name)


def _is_overwritten(store: ObjectStore, name: str) -> bool:
    try:
        store.put_if_absent(name, b"second")
    except ObjectExists:
        return False
    return True
