"""Parties: who may sign in, and whose keys stand behind a submission."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, cast

import msgspec
from sqlalchemy import Connection, delete, insert, select, text, update

from chain.transactions import PartyAction, PartyBody, Role
from gateway.index import outbox
from gateway.index import schema as t
from gateway.index.database import Index
from gateway.index.row_tags import TaggedTable
from gateway.index.rows import KeyedQuery

Signing = Literal["own", "gateway"]
_SLUG = 40
_CLAIM = text("INSERT INTO jti (party, jti, expires_at) VALUES (:party, :jti, :expires_at) ON CONFLICT DO NOTHING")


class PartyRole(IntEnum):
    """The ledger's roles by their numbers there, and the patient, whom the ledger never names."""

    PATIENT = 0
    INSTITUTION = Role.INSTITUTION
    AGENCY = Role.AGENCY
    GATEWAY = Role.GATEWAY


@dataclass(frozen=True, slots=True)
class Party:
    """A row of `party`. Public keys are raw 32 bytes; `attestation_sealed` is for the keyring only."""

    row: int
    client_id: str
    name: str
    role: PartyRole
    signing: Signing
    jwks: dict[str, Any]  # {"keys": [JWK...]}, public
    signing_key: bytes | None
    attestation_key: bytes | None
    attestation_sealed: bytes | None
    purposes: tuple[str, ...]
    status: str
    archive: int | None  # row of a patient's archive
    created_at: int

    @property
    def active(self) -> bool:
        return self.status == "active"


def new_client_id(name: str, random: Callable[[int], bytes]) -> str:
    """The slug of `name`, a hyphen and 8 random hex digits: `hospital-3f9a2b6c`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG].strip("-") or "party"
    return f"{slug}-{random(4).hex()}"


def register(
    connection: Connection,
    *,
    client_id: str,
    name: str,
    role: Role,
    signing: Signing,
    jwks: dict[str, Any],
    signing_key: bytes | None,
    attestation_key: bytes | None,
    attestation_sealed: bytes | None,
    purposes: tuple[str, ...],
    now: int,
) -> Party:
    """Write a party and put its PARTY transaction in line, in the unit of `connection`.

    Raises chain.transactions.TransactionInvalid for names and keys the ledger would refuse, before anything is written.
    """
    body = PartyBody(PartyAction.REGISTER, client_id, name, role, signing_key, attestation_key)
    body.check()
    _write(
        connection,
        client_id=client_id,
        name=name,
        role=int(role),
        signing=signing,
        jwks=msgspec.json.encode(jwks).decode(),
        signing_key=signing_key,
        attestation_key=attestation_key,
        attestation_sealed=attestation_sealed,
        purposes=" ".join(purposes),
        created_at=now,
    )
    outbox.add(connection, body, now)
    return cast(Party, by_client_id(connection, client_id))


def enrol_patient(connection: Connection, *, client_id: str, archive: int, jwks: dict[str, Any], signing_key: bytes, now: int) -> Party:
    """Let a patient sign in to the archive of that row number. Nothing goes to the ledger: it names no patient."""
    _write(
        connection,
        client_id=client_id,
        name="",
        role=int(PartyRole.PATIENT),
        signing="own",
        jwks=msgspec.json.encode(jwks).decode(),
        signing_key=signing_key,
        purposes="",
        archive=archive,
        created_at=now,
    )
    return cast(Party, by_client_id(connection, client_id))


def signs_in(connection: Connection, archives: Collection[int]) -> bool:
    """Whether a patient was enrolled for one of these archives."""
    return connection.scalar(select(t.party.c.row).where(t.party.c.archive.in_(archives)).limit(1)) is not None


def by_client_id(connection: Connection, client_id: str) -> Party | None:
    """The party, suspended ones included. RowAltered if its row is not as this gateway wrote it, as for all that read one."""
    row = next(_BY_CLIENT_ID.among(connection, (client_id,)), None)
    return None if row is None else _party(connection, row)


def row_of(connection: Connection, client_id: str) -> int | None:
    """The row number of a party, whatever else its row says."""
    return connection.scalar(select(t.party.c.row).where(t.party.c.client_id == client_id))


def by_row(connection: Connection, row: int) -> Party:
    """The party of row number `row`, which must be one that another table holds."""
    return _party(connection, connection.execute(select(t.party).where(t.party.c.row == row)).one())


def all_parties(connection: Connection) -> list[Party]:
    """Every party in the order of registration."""
    return [_party(connection, row) for row in connection.execute(_ALL)]


def suspend(connection: Connection, client_id: str, now: int) -> bool:
    """Stop a party and put that on its way to the ledger; False if there is none that is active."""
    party = by_client_id(connection, client_id)
    if party is None or not party.active:
        return False
    mark_suspended(connection, party)
    if party.role is not PartyRole.PATIENT:
        outbox.add(connection, PartyBody(PartyAction.SUSPEND, client_id, party.name, Role(party.role), None, None), now)
    return True


def suspended(connection: Connection) -> list[int]:
    """The rows of those that are suspended, ascending: for good."""
    return list(connection.scalars(select(t.party.c.row).where(t.party.c.status != "active").order_by(t.party.c.row)))


def active_among(connection: Connection, rows: Collection[int]) -> list[str]:
    """The client ids of those of these rows that are active."""
    return sorted(row.client_id for row in _BY_ROW.among(connection, rows) if row.status == "active")


def mark_suspended(connection: Connection, party: Party) -> None:
    """Stop a party whose suspension the ledger has already."""
    connection.execute(update(t.party).where(t.party.c.row == party.row).values(status="suspended"))
    TAGGED.tag(connection, t.party.c.row == party.row)


def claim_jti(connection: Connection, client_id: str, jti: str, expires_at: int) -> bool:
    """Take an assertion's jti for its one use; False if it was used, or if there is no such party. `expires_at` in seconds."""
    row = row_of(connection, client_id)
    if row is None:
        return False
    token = hashlib.sha256(jti.encode()).digest()[:16]
    return connection.execute(_CLAIM, {"party": row, "jti": token, "expires_at": expires_at}).rowcount == 1


def prune_jtis(connection: Connection, now: int) -> int:
    """Forget what has expired and so can no longer be replayed; how many."""
    return connection.execute(delete(t.jti).where(t.jti.c.expires_at < now)).rowcount


class Parties:
    """What sign-in asks, each in a unit of its own."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def by_client_id(self, client_id: str) -> Party | None:
        with self._index.reading() as connection:
            return by_client_id(connection, client_id)

    def claim_jti(self, client_id: str, jti: str, expires_at: int) -> bool:
        with self._index.atomic() as connection:
            return claim_jti(connection, client_id, jti, expires_at)


_ALL = select(t.party).order_by(t.party.c.row)
_BY_CLIENT_ID = KeyedQuery(select(t.party), t.party.c.client_id)
_BY_ROW = KeyedQuery(select(t.party.c.client_id, t.party.c.status), t.party.c.row)
# `attestation_sealed` is the keyring's already.
_BELIEVED = ("row", "client_id", "name", "role", "signing", "jwks", "signing_key", "attestation_key", "purposes", "status", "archive")
TAGGED = TaggedTable(t.party, _BELIEVED)


def _write(connection: Connection, **values: Any) -> None:
    connection.execute(insert(t.party).values(**values, status="active"))
    TAGGED.tag(connection, t.party.c.client_id == values["client_id"])


def _party(connection: Connection, row: Any) -> Party:
    TAGGED.check(connection, row)
    fields = row._asdict()
    del fields["tag"]
    fields["role"] = PartyRole(fields["role"])
    fields["jwks"] = msgspec.json.decode(fields["jwks"])
    fields["purposes"] = tuple(fields["purposes"].split())
    return Party(**fields)
