"""Whose turn it is to be this gateway: the home that was founded, or that which was restored from its backup last.

See docs/adr/0043-take-over.md. A home knows its number and a random id, in its database and so the same on all its hosts: 0 for a founded
one. A restore gives the new home the number after the newest in the bucket. In order, and what a crash leaves:

1. `begin`, with the restore's own unit   nothing is in the bucket, and the old home goes on; should a third one take over first, this one
                                          is refused
2. `take`, at the first `serve`           the mark is there, and the old home stops within LOOK_EVERY; nobody serves before the next start
                                          of this one, which finds its own mark and goes on
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from sqlalchemy import Connection

from gateway.errors import Unavailable
from gateway.index import secrets
from gateway.index.database import Index
from gateway.storage.port import ObjectExists, ObjectMissing, ObjectStore
from gateway.vault.keyring import Keyring
from gateway.vault.primitives import Random
from gateway.vault.tenure_mark import FOLDER, MAX_BYTES, TenureMark, number_of_name, parse_tenure, tenure_body, tenure_name

LOOK_EVERY = 5  # seconds between two looks of a gateway that is served
_TOLD = "taken-over"  # below the home: what its jobs process found, for its other processes
_ID_BYTES = 16
_FOUNDED = bytes(8 + _ID_BYTES)


class TakenOver(Unavailable):
    """Another home is the gateway now: the sentence is for the operator, and may go to anyone."""


@dataclass(frozen=True, slots=True)
class Tenure:
    """Of one home: its number and id, and where newer ones would show."""

    number: int
    id: bytes
    own_key: bytes
    store: ObjectStore

    def verify(self) -> None:
        """Raises TakenOver where another home has the bucket now, Unavailable while the bucket cannot be looked at."""
        self._look()

    def take(self, now: int) -> None:
        """Be the one from now on, where this home was restored and is not yet. Raises as `verify` does."""
        if self._look() == self.number:
            return
        name = tenure_name(self.number)
        with suppress(ObjectExists):  # another host of this home was faster, or another home, or a stranger
            self.store.put_if_absent(name, tenure_body(self.own_key, self.number, self.id, now))
        if self._look() != self.number:
            raise TakenOver(f"the bucket has an object {name} that this gateway did not write: remove it, and start again")

    def _look(self) -> int:
        """The newest number, this home's or an earlier one."""
        newest = _newest(self.store, self.own_key)
        if newest is None:
            return 0
        if newest.number > self.number or (newest.number == self.number and newest.id != self.id.hex()):
            at = datetime.fromtimestamp(newest.taken_at, UTC)
            raise TakenOver(
                f"this gateway was taken over: a backup of it was restored elsewhere and took the bucket over at {at:%Y-%m-%d %H:%M:%S}Z."
                " This home reads and writes nothing any more: stop it for good. docs/backup.md says how to come back to it all the same"
            )
        return newest.number


def tenure_of(index: Index, keyring: Keyring, store: ObjectStore) -> Tenure:
    """That of the home whose database `index` is."""
    with index.reading() as connection:
        own = secrets.tenure(connection, keyring) or _FOUNDED
        own_key = secrets.load(connection, keyring)["index"]
    return Tenure(int.from_bytes(own[:8], "big"), own[8:], own_key, store)


def begin(connection: Connection, keyring: Keyring, store: ObjectStore, random: Random) -> None:
    """At a restore: the home whose database this is becomes another one, the next. Raises Unavailable."""
    newest = _newest(store, secrets.load(connection, keyring)["index"])
    taken = {number for number, _ in _names(store)}
    number = next(free for free in count(1 if newest is None else newest.number + 1) if free not in taken)
    secrets.put_tenure(connection, keyring, number.to_bytes(8, "big") + random(_ID_BYTES), random)


def tell(home: Path, reason: str) -> None:
    """Let every process of this home know. Raises OSError where the disk takes nothing."""
    beside = home / f"{_TOLD}.new"
    beside.write_text(reason)
    beside.replace(home / _TOLD)


def told(home: Path) -> str | None:
    """What `tell` said since the start of `serve`."""
    try:
        return (home / _TOLD).read_text()
    except FileNotFoundError:
        return None


def clear(home: Path) -> None:
    """Forget what an earlier run was told: this one looked by itself."""
    (home / _TOLD).unlink(missing_ok=True)


def _newest(store: ObjectStore, own_key: bytes) -> TenureMark | None:
    """The newest mark that this gateway wrote, in whatever home."""
    for number, name in sorted(_names(store), reverse=True):
        with suppress(ObjectMissing):
            if (mark := parse_tenure(own_key, number, store.get_range(name, 0, MAX_BYTES))) is not None:
                return mark
    return None


def _names(store: ObjectStore) -> Iterator[tuple[int, str]]:
    found = ((number_of_name(item.name), item.name) for item in store.list(FOLDER))
    return ((number, name) for number, name in found if number is not None)
