"""Replacing the key-encryption key (KEK): all that the database holds sealed or tagged under it is done so anew, while others serve.

    1 a new KEK stands in the file, current; the old one replaced    a crash: both open, the new one seals; the next call goes on at 2
    2 rows are sealed anew, some hundred in a unit                    a crash: each row is under one of the two; the next call goes on
    3 every row is opened with the new KEK alone                      a crash: the next call does so again
    4 the old one is retired in the file                              it opens still, until `retire` takes it away

Every process looks at the file whenever it seals or opens, so from 1 on all of them seal under the new KEK, but for what they had begun;
therefore 3 leads back to 2 where it meets something, and `retire` waits and does both once more. A value that does not open, or a row
whose tag is not its own, is left as it is and named: it is not vouched for anew, and the old KEK is not retired.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, select, tuple_, update

from gateway import joining, stored_consents
from gateway.errors import Refused
from gateway.index import consents, secrets
from gateway.index import schema as t
from gateway.index.database import Index
from gateway.index.row_tags import TaggedTable, with_keyring
from gateway.index.tagged_tables import TAGGED
from gateway.sealing import attestation_context
from gateway.services import Services
from gateway.vault import kek_file
from gateway.vault.errors import WrongKey
from gateway.vault.kek_file import KekFile, Keks, KekVersion
from gateway.vault.keyring import Keyring, archive_key_context, archive_secret_context, version_of, version_of_tag
from gateway.vault.primitives import KEY_BYTES

BATCH = 500  # rows in a unit: some 50 ms with the write lock
IN_FLIGHT = 600  # seconds after which nothing is under way any more that was sealed before the rotation ended
_ROUNDS = 3

Context = Callable[[Services, Any], str]  # of a row


class NotRetired(Refused):
    """An old key cannot be taken away yet."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A table with what the keyring seals in it: the context of each such column, and the tags of its rows, if they have any."""

    table: Table
    contexts: dict[str, Context]
    tagged: TaggedTable | None

    @property
    def keys(self) -> list[Column[Any]]:
        """Its primary key: the first columns of the table."""
        return list(self.table.primary_key.columns)

    def key_of(self, row: Row[Any]) -> tuple[Any, ...]:
        return tuple(row[: len(self.keys)])

    def name_of(self, row: Row[Any]) -> str:
        """For the operator."""
        return f"{self.table.name} {'/'.join(map(str, self.key_of(row)))}"


_CONTEXTS: dict[Table, dict[str, Context]] = {
    t.secret: {"sealed": lambda _, row: secrets.context(row.name)},
    t.party: {"attestation_sealed": lambda _, row: attestation_context(row.client_id)},
    t.archive: {
        "sealed_seed": lambda _, row: archive_key_context(row.key_id),
        "sealed_secret": lambda _, row: archive_secret_context(row.key_id),
    },
    t.person: {"sealed": lambda _, row: joining.sealed_context(row.resource, row.version)},
    t.consent_grant: {
        "sealed": lambda services, row: stored_consents.sealed_context(services.ids.encode([row.row])[0]),
        "exceptions_sealed": lambda _, row: consents.exceptions_context(row.row),
    },
}
_TAGGED = {tagged.table: tagged for tagged in TAGGED}
SEALED = tuple(_Sealed(table, _CONTEXTS.get(table, {}), _TAGGED.get(table)) for table in dict.fromkeys((*_CONTEXTS, *_TAGGED)))


@dataclass(slots=True)
class Rotation:
    """What a rotation came to: the version that seals now, how many values were sealed anew, and which rows could not be."""

    version: int
    resealed: int
    unopened: list[str]

    @property
    def is_done(self) -> bool:
        return not self.unopened


def prepare(file: KekFile, services: Services, now: int) -> KekVersion:
    """Put a new KEK that seals nothing yet into the file, to be copied to every host before `rotate`; the same if there is one."""
    with file.changing():
        keys = kek_file.with_next(file.read(), services.random(KEY_BYTES), now)
        file.write(keys)
    return next(key for key in keys if key.state == "next")


def rotate(file: KekFile, services: Services, now: int, progress: Callable[[str, int], None] = lambda _table, _rows: None) -> Rotation:
    """Seal everything under a new KEK, or go on where an earlier call was stopped. Unavailable, KmsFailed, KeyFileUnusable: call again."""
    with file.changing():
        return _rotate(file, services, now, progress)


def _rotate(file: KekFile, services: Services, now: int, progress: Callable[[str, int], None]) -> Rotation:
    keys = file.read()
    if all(key.state != "replaced" for key in keys):
        keys = tuple(kek_file.promoted(kek_file.with_next(keys, services.random(KEY_BYTES), now), now))
        file.write(keys)
    rotation = Rotation(services.keyring.version, 0, [])
    for _ in range(_ROUNDS):
        rotation.unopened = []
        for sealed in SEALED:
            _seal_anew(services, sealed, rotation, progress)
        if rotation.unopened:
            return rotation
        rotation.unopened = list(_not_under(services, kek_file.keks_of(keys)))
        if not rotation.unopened:
            file.write(kek_file.retired(file.read(), now))
            return rotation
    return rotation


def retire(file: KekFile, services: Services, now: int) -> list[int]:
    """Take the retired KEKs out of the file, for good; their versions. What came in under one while the rotation ended is sealed anew.

    NotRetired if something may still need one of them; else raises as `rotate`.
    """
    with file.changing():
        return _retire(file, services, now)


def _retire(file: KekFile, services: Services, now: int) -> list[int]:
    keys = file.read()
    going = [key for key in keys if key.state == "retired"]
    over = max((key.changed_at for key in going), default=0) + IN_FLIGHT
    if going and now < over:
        raise NotRetired(f"requests from before the rotation may still run, for {IN_FLIGHT // 60} minutes; try again in {over - now} s")
    if not going:
        return []
    rotation = Rotation(services.keyring.version, 0, [])
    for sealed in SEALED:
        _seal_anew(services, sealed, rotation, lambda _table, _rows: None)
    left = next(iter(rotation.unopened), None) or next(_not_under(services, kek_file.keks_of(keys)), None)
    if left is not None:
        raise NotRetired(f"{left} does not open with the present key; `audit run` says more, and no key is dropped as long as it is so")
    file.write([key for key in keys if key.state != "retired"])
    return [key.version for key in going]


def _seal_anew(services: Services, sealed: _Sealed, rotation: Rotation, progress: Callable[[str, int], None]) -> None:
    after, done = None, 0
    while True:
        with services.index.atomic() as connection:
            rows = _rows(connection, sealed, after)
            for row in rows:
                _seal_row_anew(services, connection, sealed, row, rotation)
        if not rows:
            return
        after, done = sealed.key_of(rows[-1]), done + len(rows)
        progress(sealed.table.name, done)


def _seal_row_anew(services: Services, connection: Connection, sealed: _Sealed, row: Row[Any], rotation: Rotation) -> None:
    anew: dict[str, bytes] = {}
    try:
        for name, context in sealed.contexts.items():
            value = getattr(row, name)
            if value and version_of(value) != rotation.version:
                named = context(services, row)
                anew[name] = services.keyring.seal(named, services.keyring.open(named, value), services.random)
    except WrongKey:
        rotation.unopened.append(sealed.name_of(row))
        return
    if anew:
        connection.execute(update(sealed.table).where(tuple_(*sealed.keys) == sealed.key_of(row)).values(**anew))
    if sealed.tagged and not _is_tagged_under(row, rotation.version) and not sealed.tagged.retag(connection, sealed.key_of(row)):
        rotation.unopened.append(sealed.name_of(row))
    rotation.resealed += len(anew)


def _not_under(services: Services, keks: Keks) -> Iterator[str]:
    """The rows that the current KEK alone does not open, or does not vouch for."""
    alone = Keks({keks.current: keks.by_version[keks.current]}, keks.current)
    keyring = Keyring(lambda: alone)
    index = Index(with_keyring(services.index.engine, keyring))
    for sealed in SEALED:
        after: Any = None
        while True:
            with index.reading() as connection:
                rows = _rows(connection, sealed, after)
            for row in rows:
                if not _opens(services, keyring, sealed, row):
                    yield sealed.name_of(row)
            if not rows:
                break
            after = sealed.key_of(rows[-1])
    yield from _untagged(index)


def _opens(services: Services, keyring: Keyring, sealed: _Sealed, row: Row[Any]) -> bool:
    try:
        for name, context in sealed.contexts.items():
            if getattr(row, name):
                keyring.open(context(services, row), getattr(row, name))
    except WrongKey:
        return False
    return True


def _untagged(index: Index) -> Iterator[str]:
    with index.reading() as connection:
        for sealed in SEALED:
            if sealed.tagged is not None:
                yield from (sealed.name_of(row) for row, is_altered in sealed.tagged.altered(connection) if is_altered)


def _is_tagged_under(row: Row[Any], version: int) -> bool:
    return row.tag is not None and version_of_tag(row.tag) == version


def _rows(connection: Connection, sealed: _Sealed, after: Any) -> list[Row[Any]]:
    query = select(sealed.table).order_by(*sealed.keys).limit(BATCH)
    return list(connection.execute(query if after is None else query.where(tuple_(*sealed.keys) > after)))
