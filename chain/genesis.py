"""The genesis file: what a chain is before its first block. Its exact bytes are the chain's identity.

JSON for people to read and to publish; every field is required and none besides them is accepted, so that two readers of one file cannot
understand different things. Keys are hex in lower case. Format 1 names the delegates once and for all; format 2 gives out the stake that
elects them.
"""

from hashlib import sha256
from json import dumps, loads
from typing import Any, NamedTuple

from msgspec import Struct

from chain.delegate_set import DelegateSet
from chain.errors import LedgerError
from chain.keys import ChainId, is_valid_public_key
from chain.kinds import is_name
from chain.transactions import PartyAction, PartyBody, Role, TransactionInvalid

FIXED, ELECTED = "fhir-anchor genesis 1", "fhir-anchor genesis 2"  # the formats
MIN_ELECTED = 4  # delegates: fewer could not do without one
MAX_SEATS = 100
MAX_STAKE = 1_000_000  # in all; no account can hold less than one millionth of it
_ROLES = {"institution": Role.INSTITUTION, "agency": Role.AGENCY, "gateway": Role.GATEWAY}
_LIMITS = {"started_at": 1 << 40, "slot_seconds": 3600, "epoch_blocks": 1 << 20, "heartbeat_slots": 1 << 20}
_FIELDS = ("format", "network", "started_at", "slot_seconds", "epoch_blocks", "heartbeat_slots", "delegates", "parties")
_FIELDS_OF = {FIXED: _FIELDS, ELECTED: (*_FIELDS, "seats", "stakes")}


class GenesisInvalid(LedgerError):
    """The genesis file breaks a rule; the message names it."""


class Delegate(NamedTuple):
    name: str
    key: bytes  # Ed25519 public key


class Stake(NamedTuple):
    """A share of the voting weight. At first it approves of all delegates of the genesis."""

    holder: str  # for people
    key: bytes  # Ed25519 public key
    weight: int


class Genesis(Struct, frozen=True):
    """A chain's fixed facts. Parties and stakes are in the state before the first block."""

    chain_id: ChainId
    network: str
    started_at: int  # seconds since the epoch: when slot 0 begins
    slot_seconds: int
    epoch_blocks: int  # heights in an epoch
    heartbeat_slots: int  # slots without a block after which an empty one is made
    delegates: tuple[Delegate, ...]  # the first set, in the order of their indices
    parties: tuple[PartyBody, ...]
    seats: int  # delegates in an elected set; none are elected where this is 0
    stakes: tuple[Stake, ...]  # none where the delegates are fixed
    first_set: DelegateSet

    @classmethod
    def parse(cls, file_bytes: bytes) -> "Genesis":
        """Reads the file strictly. Raises `GenesisInvalid`."""
        found = _load(file_bytes)
        format_ = found.get("format") if isinstance(found, dict) else None
        if format_ not in (FIXED, ELECTED):
            raise GenesisInvalid("the format is not one that is known here")
        fields = _fields(found, _FIELDS_OF[format_], "genesis")
        chain_id = ChainId(sha256(file_bytes).digest())
        delegates = tuple(_delegate(item) for item in _list(fields["delegates"], "delegates"))
        genesis = cls(
            chain_id=chain_id,
            network=_text(fields["network"], "network"),
            delegates=delegates,
            parties=tuple(_party(item) for item in _list(fields["parties"], "parties")),
            seats=_count(fields["seats"], "seats", MAX_SEATS) if format_ == ELECTED else 0,
            stakes=tuple(_stake(item) for item in _list(fields["stakes"], "stakes")) if format_ == ELECTED else (),
            first_set=DelegateSet.of(chain_id, [delegate.key for delegate in delegates]),
            **{name: _count(fields[name], name, limit) for name, limit in _LIMITS.items()},
        )
        genesis.check()
        return genesis

    def check(self) -> None:
        """Raises `GenesisInvalid` for a set of delegates or parties that could not run a chain."""
        if len(self.delegates) % 3 != 1:
            raise GenesisInvalid("the number of delegates is not 3f+1 (1, 4, 7, ...)")
        _distinct([delegate.name for delegate in self.delegates], "delegate names")
        _distinct([delegate.key for delegate in self.delegates], "delegate keys")
        _distinct([party.client_id for party in self.parties], "client ids")
        _distinct([party.signing_key for party in self.parties if party.signing_key], "signing keys")
        if not any(party.role is Role.GATEWAY for party in self.parties):
            raise GenesisInvalid("no party is a gateway, so nobody could sign a transaction")
        if self.seats:
            self._check_stakes()

    def _check_stakes(self) -> None:
        if self.seats % 3 != 1 or self.seats < max(MIN_ELECTED, len(self.delegates)):
            raise GenesisInvalid("the number of seats is not 3f+1, at least 4 and enough for the first delegates")
        _distinct([stake.holder for stake in self.stakes], "holders of stake")
        _distinct([stake.key for stake in self.stakes], "keys of holders")
        if not 0 < self.total_stake <= MAX_STAKE:
            raise GenesisInvalid(f"the stakes are not together 1 to {MAX_STAKE}")

    @property
    def total_stake(self) -> int:
        """All voting weight there is and will be."""
        return sum(stake.weight for stake in self.stakes)

    def slot_at(self, now: float) -> int:
        """The slot that the instant `now` (seconds since the epoch) lies in; negative before the start."""
        return int((now - self.started_at) // self.slot_seconds)

    def slot_time(self, slot: int) -> int:
        """When `slot` begins, in seconds since the epoch."""
        return self.started_at + slot * self.slot_seconds


def make_genesis(
    *,
    network: str,
    started_at: int,
    slot_seconds: int,
    epoch_blocks: int,
    heartbeat_slots: int,
    delegates: tuple[Delegate, ...],
    parties: tuple[PartyBody, ...],
    seats: int = 0,
    stakes: tuple[Stake, ...] = (),
) -> bytes:
    """The file's bytes, for people to read; without seats the delegates are fixed. Raises `GenesisInvalid` for what `Genesis.parse`
    would refuse.
    """
    fields = {
        "format": ELECTED if seats else FIXED,
        "network": network,
        "started_at": started_at,
        "slot_seconds": slot_seconds,
        "epoch_blocks": epoch_blocks,
        "heartbeat_slots": heartbeat_slots,
        "delegates": [{"name": delegate.name, "key": delegate.key.hex()} for delegate in delegates],
        "parties": [
            {
                "client_id": party.client_id,
                "name": party.name,
                "role": party.role.name.lower(),
                "signing_key": _hex_or_none(party.signing_key),
                "attestation_key": _hex_or_none(party.attestation_key),
            }
            for party in parties
        ],
    }
    if seats:
        fields["seats"] = seats
        fields["stakes"] = [{"holder": stake.holder, "key": stake.key.hex(), "weight": stake.weight} for stake in stakes]
    file_bytes = dumps(fields, indent=2, ensure_ascii=False).encode() + b"\n"
    Genesis.parse(file_bytes)
    return file_bytes


def _hex_or_none(key: bytes | None) -> str | None:
    return None if key is None else key.hex()


def _load(file_bytes: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _distinct([name for name, _ in pairs], "fields of an object")
        return dict(pairs)

    try:
        return loads(file_bytes.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise GenesisInvalid("the file is not JSON in UTF-8") from None


def _fields(value: Any, names: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise GenesisInvalid(f"{what} does not have exactly the fields {', '.join(names)}")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise GenesisInvalid(f"{what} is not a list")
    return value


def _count(value: Any, what: str, limit: int) -> int:
    if type(value) is not int or not 0 < value <= limit:
        raise GenesisInvalid(f"{what} is not a whole number from 1 to {limit}")
    return value


def _text(value: Any, what: str) -> str:
    if not is_name(value):
        raise GenesisInvalid(f"{what} is not a text of 1 to 200 characters without control characters")
    return str(value)


def _key(value: Any, what: str) -> bytes:
    try:
        key = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise GenesisInvalid(f"{what} is not hex") from None
    if key.hex() != value or not is_valid_public_key(key):
        raise GenesisInvalid(f"{what} is not a usable public key in lower-case hex")
    return key


def _delegate(value: Any) -> Delegate:
    fields = _fields(value, ("name", "key"), "a delegate")
    return Delegate(_text(fields["name"], "a delegate's name"), _key(fields["key"], "a delegate's key"))


def _stake(value: Any) -> Stake:
    fields = _fields(value, ("holder", "key", "weight"), "a stake")
    weight = _count(fields["weight"], "a stake's weight", MAX_STAKE)
    return Stake(_text(fields["holder"], "a stake's holder"), _key(fields["key"], "a stake's key"), weight)


def _party(value: Any) -> PartyBody:
    fields = _fields(value, ("client_id", "name", "role", "signing_key", "attestation_key"), "a party")
    if not isinstance(fields["role"], str) or fields["role"] not in _ROLES:
        raise GenesisInvalid("a party's role is not institution, agency or gateway")
    keys = [None if fields[name] is None else _key(fields[name], f"a party's {name}") for name in ("signing_key", "attestation_key")]
    party = PartyBody(PartyAction.REGISTER, fields["client_id"], fields["name"], _ROLES[fields["role"]], *keys)
    try:
        party.check()
    except TransactionInvalid as error:
        raise GenesisInvalid(f"a party of the genesis: {error}") from None
    return party


def _distinct(values: list[Any], what: str) -> None:
    if len(set(values)) != len(values):
        raise GenesisInvalid(f"two {what} are the same")
