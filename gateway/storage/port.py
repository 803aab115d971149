"""Where containers lie: five verbs, create-only, and a check. The comments are the contract that every implementation is tested against."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"  # no leading dot: neither "..", nor the folder of a store's temporary files
_NAME = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*", re.ASCII)


class ObjectExists(Exception):
    """`put_if_absent` found the name taken; nothing was written."""


class ObjectMissing(Exception):
    """The object named is not there. A store that cannot be reached raises `gateway.errors.Unavailable` instead."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    name: str
    size: int  # bytes
    created_at: int  # seconds since the epoch, by the store's clock


def verify_name(name: str) -> None:
    """ValueError for what is no object's name, or leads elsewhere."""
    if not _NAME.fullmatch(name):
        raise ValueError("not an object's name")


class ObjectStore(Protocol):
    """A bucket. Names are slash-separated ASCII (`verify_name`: ValueError); objects never change once written."""

    def put_if_absent(self, name: str, body: bytes) -> None:
        """Durable when it returns: a crash of process or machine right after loses nothing. Never overwrites: `ObjectExists`.
        If it raises anything else the object may or may not be there; the caller decides by putting again.
        """

    def get(self, name: str) -> bytes:
        """The whole object, or `ObjectMissing`."""

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only where the object ends; `ObjectMissing`."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object below `prefix`, in the order of names; constant memory."""

    def delete(self, name: str) -> None:
        """Gone when it returns; deleting what is not there is no error."""

    def check_writable(self) -> None:
        """Returns if an object could be put now: the bucket is there, may be written and has room. Leaves nothing that `list` shows."""
