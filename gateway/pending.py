"""A submission that is ready to be stored, and the rows of those that are stored together (docs/adr/0024-group-commit.md)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from chain import postgresql
from chain.transactions import AnchorBody
from gateway.index import archives, containers, outbox
from gateway.index.archives import Archive, NumberTaken
from gateway.index.containers import BundleRow, ContainerRow
from gateway.index.database import part_of
from gateway.vault.container import Container
from gateway.vault.seal import SealedBundle


@dataclass(frozen=True, slots=True)
class Sealed:
    """A submission's bundles, each with its archive, and the leaf of each record by its row."""

    bundles: Sequence[SealedBundle]
    archives: Sequence[Archive]
    leaves: Mapping[int, int]


@dataclass(slots=True, eq=False)
class Pending:
    """A submission that is ready to be stored.

    `sealed` gives its bundles under the present numbers of `archives`, together `size` bytes or so.
    `write(connection, sealed, container, first_bundle)` writes its rows, given the rows of the container and of its first bundle; LostRace
    if what it was decided on has changed. `opened` are its archives that are not written yet.
    """

    sealed: Callable[[], Sealed]
    write: Callable[[Connection, Sealed, int, int], None]
    archives: Sequence[Archive]
    size: int
    opened: Sequence[Archive]
    now: int  # seconds since the epoch
    is_settled: bool = False
    failure: Exception | None = None

    def settle(self, failure: Exception | None = None) -> None:
        self.failure, self.is_settled = failure, True


class LeftOut(Exception):
    """Some of a group lost their race or cannot be written; nothing of the group was."""

    def __init__(self, failures: Mapping[Pending, Exception]) -> None:
        super().__init__(f"{len(failures)} of a group are left out")
        self.failures = failures


def write_group(connection: Connection, container: Container, group: Sequence[Pending], sealed: Sequence[Sealed]) -> None:
    """The rows of all, and the ANCHOR in the outbox. LeftOut with everyone who cannot be written; NumberTaken; LostRace."""
    row, first_bundle = containers.next_rows(connection)
    now = max(member.now for member in group)
    kept = ContainerRow(row, container.digest, len(container.body), container.root, len(container.slots), container.leaf_count, now)
    containers.write(connection, kept)
    failures: dict[Pending, Exception] = {}
    bundle = first_bundle
    for member, its in zip(group, sealed, strict=True):
        try:
            with part_of(connection):
                member.write(connection, its, row, bundle)
                for archive in its.archives:
                    archives.take_number(connection, archive)
        except NumberTaken:
            if not failures:  # of one who lost: the numbers behind its are gaps now, and come right without it
                raise
        except DBAPIError as failure:
            if postgresql.is_passing(failure):  # the database's own fault is everybody's
                raise
            failures[member] = failure
        except Exception as failure:  # a lost race, or a fault of its own, such as an altered row: the others need not suffer for it
            failures[member] = failure
        bundle += len(its.bundles)
    if failures:
        raise LeftOut(failures)
    containers.write_bundles(connection, _bundle_rows(container, row, first_bundle, sealed))
    outbox.add(connection, AnchorBody(kept.digest, kept.size, kept.root, kept.bundles, kept.leaves), now)


def _bundle_rows(container: Container, row: int, first_bundle: int, sealed: Sequence[Sealed]) -> list[BundleRow]:
    placed = [(archive, bundle) for each in sealed for archive, bundle in zip(each.archives, each.bundles, strict=True)]
    return [
        BundleRow(first_bundle + n, row, n, slot.offset, slot.length, archive.row or 0, archive.next_number, bundle.leaf_count)
        for n, (slot, (archive, bundle)) in enumerate(zip(container.slots, placed, strict=True))
    ]
