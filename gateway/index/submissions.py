"""What each submission wrote, so that a repeated one gets the same answer instead of a second set of records.

Results are kept as runs: entries that came to be one after the other have row numbers one after the other, so a bundle that was all new
is one run. Encoded as CBOR [[status, version, first row, count], ...] in the order of the entries.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from chain.encoding import decode, encode
from gateway.index import records
from gateway.index import schema as t
from gateway.index.database import LostRace
from gateway.index.records import ResourceState
from gateway.index.rows import Statement, insert_rows

Status = Literal["created", "updated", "unchanged", "failed", "deleted", "absent"]  # absent: there was nothing to delete
_STATUSES: tuple[Status, ...] = ("created", "updated", "unchanged", "failed", "deleted", "absent")  # the numbers are stored
_GONE = frozenset({"deleted", "absent"})


class Result(NamedTuple):
    """What became of one entry; row and version are 0 where it failed, and where it was to delete what had never come."""

    status: Status
    row: int
    version: int


FAILED = Result("failed", 0, 0)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier submission of the same bytes did, and the present state of all it wrote."""

    written: bytes
    results: tuple[Result, ...]
    states: dict[int, ResourceState]

    @property
    def is_replayable(self) -> bool:
        """Whether the same answer is still true: no entry failed, and all that was written stands."""
        return self.is_whole and self.holds

    @property
    def is_whole(self) -> bool:
        """Whether no entry failed, and none of what was written is gone with an erased patient."""
        return all(result.status != "failed" and (not result.row or result.row in self.states) for result in self.results)

    @property
    def holds(self) -> bool:
        """Whether all it wrote is still at that version."""
        for result in self.results:
            if result.status != "failed":
                state = self.states.get(result.row)
                if state is None or state.version != result.version or bool(state.deleted) != (result.status in _GONE):
                    return False
        return True


_WRITTEN = Statement(
    select(t.submission.c.written).where(t.submission.c.party == bindparam("party"), t.submission.c.digest == bindparam("digest"))
)


def find(connection: Connection, party: int, digest: bytes) -> Earlier | None:
    """The submission with this SHA-256 by the party of that row, if there was one."""
    found = _WRITTEN.first(connection, party=party, digest=digest)
    if found is None:
        return None
    results = tuple(_expand(found.written))
    return Earlier(found.written, results, records.states(connection, {result.row for result in results if result.status != "failed"}))


def remembered(connection: Connection, written: bytes) -> Earlier:
    """The same for results that are kept elsewhere, with the times that the versions had which they name."""
    results = tuple(_expand(written))
    states = records.states(connection, {result.row for result in results if result.row})
    for result in results:
        state = states.get(result.row)
        if state is not None and state.version != result.version:
            states[result.row] = state._replace(updated_ms=records.updated_ms(connection, result.row, result.version))
    return Earlier(written, results, states)


def write(
    connection: Connection,
    party: int,
    digest: bytes,
    *,
    container: int | None,
    written: bytes,
    now: int,
    instead_of: Earlier | None,
) -> None:
    """Remember a submission, in place of the earlier one that was found. LostRace if there is another by now."""
    if instead_of is not None:
        is_it = (t.submission.c.party == party, t.submission.c.digest == digest, t.submission.c.written == instead_of.written)
        if connection.execute(delete(t.submission).where(*is_it)).rowcount != 1:
            raise LostRace("the same submission was processed meanwhile")
    insert_rows(connection, t.submission, [(party, digest, container, written, now)])


def encoded(results: Iterable[Result]) -> bytes:
    """Results as they are stored."""
    runs: list[list[int]] = []
    for status, row, version in results:
        number = _STATUSES.index(status)
        last = runs[-1] if runs else None
        if last and last[0] == number and last[1] == version and (row == last[2] + last[3] or not row):
            last[3] += 1
        else:
            runs.append([number, version, row, 1])
    return encode(runs)


def _expand(written: bytes) -> Iterator[Result]:
    for number, version, first, count in decode(written):
        status = _STATUSES[number]
        for offset in range(count):
            yield Result(status, first + offset if first else 0, version)
