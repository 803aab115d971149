"""The access log against the chain: every entry made again from its row, every batch from its entries (docs/design/access.md)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter

from chain.access_batch import AccessBatchBody
from chain.encoding import EncodingError
from chain.ledger import Ledger
from chain.merkle import leaf_hash, root
from gateway.consent.access import Access
from gateway.index.accesses import unpack
from gateway.services import Services
from gateway.vault.primitives import access_commitment
from jobs.audit_consents import ConsentAudit, TrueGrant
from jobs.audit_notes import Notes
from jobs.audit_permits import PermitAudit
from jobs.audit_sequence import Shard, first_of, last_of
from jobs.audit_stored_conduct import LoggedRow, Reader, StoredConduct, Version


def runs(numbers: Iterable[int]) -> Iterator[range]:
    """Ascending numbers as the ranges that they make."""
    for _, run in groupby(enumerate(numbers), key=lambda placed: placed[1] - placed[0]):
        first, *others = (number for _, number in run)
        yield range(first, first + len(others) + 1)


def gaps(numbers: range, taken: Iterable[range]) -> Iterator[range]:
    """What of `numbers` is in none of the ranges `taken`, all of which lie within."""
    at = numbers.start
    for span in sorted(taken, key=attrgetter("start")):
        if span.start > at:
            yield range(at, span.start)
        at = max(at, span.stop)
    if at < numbers.stop:
        yield range(at, numbers.stop)


class AccessAudit:
    """The accesses of one shard."""

    def __init__(
        self, services: Services, ledger: Ledger, shard: Shard, stored: StoredConduct, consents: ConsentAudit, notes: Notes
    ) -> None:
        self._services, self._shard, self._stored, self._consents, self._notes = services, shard, stored, consents, notes
        self._permits = PermitAudit(services, ledger, stored, consents, notes)
        self._lost = shard.bounds.lost
        self._leaves: dict[int, bytes] = {}  # made again, by number

    def verify(self) -> None:
        for row in self._stored.accesses:
            self._verify_row(row)
        batched: set[int] = set()
        for act in self._shard.acts:
            if isinstance(act, AccessBatchBody):
                rows = self._between(act.first, act.last)
                self._verify_batch(act, rows)
                batched.update(row.sequence for row in rows)
        self._verify_unrecorded(row for row in self._stored.accesses if row.sequence not in batched)
        self._verify_gaps()

    def _between(self, first: int, last: int) -> Sequence[LoggedRow]:
        rows = self._stored.accesses
        start = bisect_left(rows, first, key=attrgetter("sequence"))
        return rows[start : bisect_right(rows, last, lo=start, key=attrgetter("sequence"))]

    def _verify_row(self, row: LoggedRow) -> None:
        """Its leaf again, and what it rests on. What an altered row names was never disclosed, so nothing more is asked of it."""
        self._notes.count("accesses")
        consent, reader = self._stored.consents.get(row.consent), self._stored.readers.get(row.party)
        if consent is None:
            self._notes.found("permit-missing", f"access {row.sequence}", "the consent it names is not in the database")
            return
        if reader is None:
            self._altered(row, "its reader is not in the database")
            return
        true = self._consents.true_grant(consent)
        if true is None:
            return
        try:
            records = unpack(row.records)
        except EncodingError:
            self._altered(row, "its records cannot be read")
            return
        self._leaves[row.sequence] = self._leaf(row, reader, true, records)
        if self._leaves[row.sequence] == row.leaf:
            self._permits.verify(row, reader, true.grant, records)
        else:
            self._altered(row, "its leaf is not that of the row")

    def _leaf(self, row: LoggedRow, reader: Reader, true: TrueGrant, records: list[Version]) -> bytes:
        ids = self._services.ids.encode(number for number, _ in records)
        named = tuple((bytes.fromhex(id_), version) for id_, (_, version) in zip(ids, records, strict=True))
        access = Access(reader.client_id, row.purpose, true.grant.id, named, row.sequence, row.accessed_ms)
        salt = true.secret.access_salt(true.grant.id, row.sequence, row.accessed_ms)
        return leaf_hash(access_commitment(self._services.chain_id, salt, access.to_bytes()))

    def _verify_batch(self, batch: AccessBatchBody, rows: Sequence[LoggedRow]) -> None:
        self._notes.count("access batches")
        numbers = range(batch.first, batch.last + 1)
        if len(rows) < batch.leaves:
            here = [range(row.sequence, row.sequence + 1) for row in rows]
            for run in gaps(numbers, self._lost.numbers_in(numbers) + here):
                self._notes.found("access-missing", _names(run), "anchored, and not in the database")
            return
        for row in rows:
            if row.batch != batch.last:
                self._altered(row, "the batch it names is not the one that holds it")
        made_again = root([self._leaves.get(row.sequence, row.leaf) for row in rows])
        if len(rows) > batch.leaves or batch.root not in (made_again, root([row.leaf for row in rows])):
            self._notes.found("access-altered", _names(numbers), "together they do not have the root that is anchored")

    def _verify_unrecorded(self, rows: Iterable[LoggedRow]) -> None:
        """Accesses that no batch on the chain spans."""
        late: list[int] = []
        pending: list[int] = []
        for row in rows:
            young = not self._shard.recorded and self._shard.bounds.is_pending(row.accessed_ms / 1000)
            (pending if young else late).append(row.sequence)
        for run in runs(pending):
            self._notes.pending(_names(run))
        for run in runs(late):
            self._notes.found("access-unanchored", _names(run), "in no batch on the chain")

    def _verify_gaps(self) -> None:
        """A number is taken in the unit that writes what it numbers, so each stands for something, here and on the chain."""
        here = chain((row.sequence for row in self._stored.accesses), self._stored.granted, self._stored.revoked)
        known = (
            self._lost.numbers_in(self._shard.numbers)
            + [range(number, number + 1) for number in here]
            + [range(first_of(act), last_of(act) + 1) for act in self._shard.acts]
        )
        for run in gaps(self._shard.numbers, known):
            self._notes.found("sequence-gap", number_names(run), "neither the database nor the chain has anything under it")
        for act in self._shard.acts:
            if isinstance(act, AccessBatchBody) and act.leaves < act.last - act.first + 1:
                self._notes.found("sequence-gap", number_names(range(act.first, act.last + 1)), f"its batch has only {act.leaves} leaves")

    def _altered(self, row: LoggedRow, detail: str) -> None:
        self._notes.found("access-altered", f"access {row.sequence}", detail)


def _names(run: range) -> str:
    return f"access {run[0]}" if len(run) == 1 else f"accesses {run[0]} to {run[-1]}"


def number_names(run: range) -> str:
    return f"number {run[0]}" if len(run) == 1 else f"numbers {run[0]} to {run[-1]}"
