"""The sealed index rows of a bundle against the database's, in both directions.

A batch of records that is as it should be is compared in bulk. Where anything differs, each record of the batch is judged by itself, in a
snapshot of its own: that names the record and the columns, and is slow only where there is something to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
from sqlalchemy import Connection

from gateway.index.database import Index
from gateway.index.index_row import FIRST, FORMAT, IndexRow, NotAnIndexRow, parse_index_row
from gateway.index.resource_types import NAME_OF, NUMBER_OF
from gateway.submission import instant
from gateway.vault.opened_class import RecordBatch
from gateway.vault.record_id import RecordIds
from jobs.audit_notes import Notes
from jobs.audit_stored_rows import Stored, StoredRows, StoredVersion, stored_versions, tokens_of

_NONE: list[Any] = []
_FORMAT_OF = {len(IndexRow._fields) - 1: FIRST, len(IndexRow._fields): FORMAT}  # by the number of values


@dataclass(frozen=True, slots=True)
class Place:
    """The bundle whose records are looked at: its row and its archive's, and who submitted it (client id, row of the party)."""

    bundle: int
    archive: int
    issuer: str
    party: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A sealed record that the bulk comparison did not find as it should be."""

    leaf: int
    type: str
    id: bytes
    version: int
    body: bytes
    index_row: bytes

    @property
    def subject(self) -> str:
        return f"{self.type}/{self.id.hex()}/_history/{self.version}"


class BundleRows:
    """What the database says points to one bundle, held against its batches one after another."""

    def __init__(self, place: Place, stored: StoredRows, leaf_ids: Sequence[bytes], ids: RecordIds) -> None:
        """`leaf_ids`: the id of every leaf of the bundle, all decrypted at once."""
        self.place = place
        self._named = ids.rows(leaf_ids)
        self._stored, self._ids = stored, ids
        self._unmatched = dict(stored.versions.get(place.bundle, {}))
        self._doubled = stored.doubled.get(place.bundle, [])
        self._suspects: list[Suspect] = []
        self._old_rows = 0

    def compare(self, batch: RecordBatch) -> list[int] | None:
        """The row numbers of the batch's records if all is as it should be; else None, and it is taken note of."""
        leaves = range(batch.first_leaf, batch.first_leaf + len(batch.bodies))
        rows = list(map(self._unmatched.get, leaves))
        sealed = _decoded(batch.index_rows)
        if sealed is not None and self._is_same(batch, sealed, rows):
            for leaf in leaves:
                del self._unmatched[leaf]
            self._old_rows += len(sealed) if sealed[0][0] == FIRST else 0
            return [own[1] for own in sealed]
        type_ = _type_of(batch)
        columns = zip(leaves, batch.ids, batch.versions, batch.bodies, batch.index_rows, strict=True)
        self._suspects += [Suspect(leaf, type_, id_, version, body, row) for leaf, id_, version, body, row in columns]
        return None

    def finish(self, index: Index, notes: Notes) -> None:
        """Judge what was taken note of, and what points to the bundle without a record there. One snapshot, if any is needed."""
        if self._old_rows:
            notes.count("records whose further patients no sealed row names", self._old_rows)
        if not (self._suspects or self._unmatched or self._doubled):
            return
        with index.reading() as connection:
            borne_out = self._judge_all(connection, notes)
        for stored in map(StoredVersion._make, (*self._unmatched.values(), *self._doubled)):
            if stored.name not in borne_out:
                subject = record_name(stored.row, stored.type, stored.version, self._ids)
                notes.found("index-row-unfounded", subject, f"no leaf of bundle {self.place.bundle} holds it, and it points there")

    def _is_same(self, batch: RecordBatch, sealed: list[list[Any]], rows: Sequence[Stored | None]) -> bool:
        """Whether database, sealed rows, ids, versions and the records' own bytes agree, each with all the others."""
        codes, identifiers, also_of = self._stored.codes, self._stored.identifiers, self._stored.also_of
        first = sealed[0][0]  # the format: what was sealed together was sealed by one version of the gateway
        expected = []
        for stored, own in zip(rows, sealed, strict=True):
            if stored is None or stored[2] != self.place.archive:
                return False
            row = stored[4]
            told = [first, *stored[4:], *([codes.get(row, _NONE), identifiers.get(row, _NONE)] if stored[3] else own[10:12])]
            if first != FIRST:
                told.append(also_of.get((row, stored[6]), _NONE) if also_of else _NONE)
            expected.append(told)
        if expected != sealed:
            return False
        _, named, types, versions, _, issuers, updated_ms, *_ = zip(*sealed, strict=True)
        return (
            list(named) == self._named[batch.first_leaf : batch.first_leaf + len(named)]
            and versions == tuple(batch.versions)
            and {*types} == {NUMBER_OF.get(_type_of(batch))}
            and {*issuers} == {self.place.party}
            and _say_who_they_are(batch, updated_ms, self.place.issuer)
        )

    def _judge_all(self, connection: Connection, notes: Notes) -> set[tuple[int, int]]:
        """Judges every suspect; the names of those that are sealed here."""
        parsed = [(suspect, _parsed(suspect.index_row)) for suspect in self._suspects]
        versions = stored_versions(connection, {row.row for _, row in parsed if row})
        tokens = tokens_of(connection, versions.values())
        if any(row.issuer != self.place.party for _, row in parsed if row):
            subject = f"party {self.place.issuer}"
            notes.found("index-row-altered", subject, "its row is not the one that was sealed with what it issued")
        for suspect, row in parsed:
            fault = self._fault(suspect, row, versions, tokens)
            if fault is not None:
                notes.found(fault[0], suspect.subject, fault[1])
        return {(row.row, row.version) for _, row in parsed if row}

    def _fault(
        self,
        suspect: Suspect,
        sealed: IndexRow | None,
        versions: Mapping[tuple[int, int], StoredVersion],
        tokens: StoredRows,
    ) -> tuple[str, str] | None:
        if sealed is None:
            return "record-mismatch", "its sealed index row is none"
        if not self._belong_together(suspect, sealed):
            return "record-mismatch", "its bytes, its leaf and its sealed index row are not of one record"
        stored = versions.get((sealed.row, sealed.version))
        if stored is None:
            is_known = any(row == sealed.row for row, _ in versions)
            return "index-row-missing", "the database has other versions of it only" if is_known else "the database does not have it"
        differing = _differing(sealed, stored, tokens)
        place = (self.place.bundle, suspect.leaf, self.place.archive)
        differing += [name for name, value, own in zip(stored._fields, stored, place, strict=False) if value != own]
        return ("index-row-altered", f"differs from what was sealed in: {', '.join(differing)}") if differing else None

    def _belong_together(self, suspect: Suspect, sealed: IndexRow) -> bool:
        return (
            self._ids.decode(suspect.id.hex()) == sealed.row
            and (sealed.version, sealed.type) == (suspect.version, NUMBER_OF.get(suspect.type))
            and suspect.body.startswith(_head(suspect.type, suspect.id.hex(), sealed.version, sealed.updated_ms, self.place.issuer))
        )


def _decoded(index_rows: Sequence[bytes]) -> list[list[Any]] | None:
    """The rows, decoded in one go as one array of arrays; None if they are not what `index_row` makes."""
    try:
        rows = cbor2.loads(b"\x9a" + len(index_rows).to_bytes(4, "big") + b"".join(index_rows))
    except (cbor2.CBORDecodeError, ValueError):
        return None
    if {*map(type, rows)} != {list} or len(widths := {*map(len, rows)}) != 1:
        return None
    return rows if rows[0][0] == _FORMAT_OF.get(widths.pop()) else None


def _say_who_they_are(batch: RecordBatch, updated_ms: Sequence[int], issuer: str) -> bool:
    """Whether each record's bytes begin with its own type, id, version, time and source (`fhir_adapters.standard_bytes`)."""
    hexes = b"".join(batch.ids).hex()
    ids = [hexes[at : at + 32] for at in range(0, len(hexes), 32)]
    type_ = _type_of(batch)
    if len({*batch.versions}) == len({*updated_ms}) == 1:  # as nearly always: then only the id is another
        before, after = _head(type_, "\x00", batch.versions[0], updated_ms[0], issuer).split(b"\x00")
        size = len(before) + 32 + len(after)
        begins = b"".join([body[:size] for body in batch.bodies])
        return begins == before + (after + before).join([id_.encode() for id_ in ids]) + after
    columns = zip(batch.bodies, ids, batch.versions, updated_ms, strict=True)
    return all(body.startswith(_head(type_, id_, version, updated, issuer)) for body, id_, version, updated in columns)


def _type_of(batch: RecordBatch) -> str:
    return batch.class_name.partition("/")[0]


def _head(type_: str, id_: str, version: int, updated_ms: int, issuer: str) -> bytes:
    meta = f'"versionId":"{version}","lastUpdated":"{instant(updated_ms)}","source":"urn:fhir-anchor:{issuer}#'
    return f'{{"resourceType":"{type_}","id":"{id_}","meta":{{{meta}'.encode()


def _parsed(index_row: bytes) -> IndexRow | None:
    try:
        row = parse_index_row(index_row)
    except NotAnIndexRow:
        return None
    return row if all(type(value) is int for value in row[:7]) else None


def _differing(sealed: IndexRow, stored: StoredVersion, tokens: StoredRows) -> list[str]:
    """The columns in which the database's row is another than the sealed one; an earlier version has no tokens any more."""
    differing = [name for name, own, value in zip(sealed._fields[1:], sealed[1:], stored[4:], strict=False) if own != value]
    if stored.current:
        differing += ["codes"] * (tuple(tokens.codes.get(sealed.row, _NONE)) != sealed.codes)
        differing += ["identifiers"] * (tuple(tokens.identifiers.get(sealed.row, _NONE)) != sealed.identifiers)
    if sealed.also_of is not None:
        differing += ["also_of"] * (tuple(tokens.also_of.get((sealed.row, sealed.version), _NONE)) != sealed.also_of)
    return differing


def record_name(row: int, type_: int | None, version: int | None, ids: RecordIds) -> str:
    """`Type/id` or `Type/id/_history/version` of a database row, whatever stands in it."""
    if type(row) is not int or not 0 <= row < 1 << 64:
        return f"resource row {row}"
    name = f"{NAME_OF.get(type_ or 0, 'resource')}/{ids.encode((row,))[0]}"
    return name if version is None else f"{name}/_history/{version}"
