"""The genesis file: what a chain is before its first block. Its exact bytes are the chain's identity.

JSON for people to read and to publish; every field is required and none besides them is accepted, so that two readers of one file cannot
understand different things. Keys are hex in lower case.
"""

from hashlib import sha256
from json import dumps, loads
from typing import Any, NamedTuple

from msgspec import Struct

from chain.encoding import encode
from chain.errors import LedgerError
from chain.keys import DELEGATES, ChainId, is_valid_public_key, labelled_hash
from chain.transactions import PartyAction, PartyBody, Role, TransactionInvalid

FORMAT = "fhir-anchor genesis 1"
_ROLES = {"institution": Role.INSTITUTION, "agency": Role.AGENCY, "gateway": Role.GATEWAY}
_LIMITS = {"started_at": 1 << 40, "slot_seconds": 3600, "epoch_blocks": 1 << 20, "heartbeat_slots": 1 << 20}
_FIELDS = ("format", "network", "started_at", "slot_seconds", "epoch_blocks", "heartbeat_slots", "delegates", "parties")


class GenesisInvalid(LedgerError):
    """The genesis file breaks a rule; the message names it."""


class Delegate(NamedTuple):
    name: str
    key: bytes  # Ed25519 public key


class Genesis(Struct, frozen=True):
    """A chain's fixed facts. A delegate's index is its place in `delegates`; parties are in the state before the first block."""

    chain_id: ChainId
    network: str
    started_at: int  # seconds since the epoch: when slot 0 begins
    slot_seconds: int
    epoch_blocks: int  # heights in an epoch
    heartbeat_slots: int  # slots without a block after which an empty one is made
    delegates: tuple[Delegate, ...]
    parties: tuple[PartyBody, ...]

    @classmethod
    def parse(cls, file_bytes: bytes) -> "Genesis":
        """Reads the file strictly. Raises `GenesisInvalid`."""
        fields = _fields(_load(file_bytes), _FIELDS, "genesis")
        if fields["format"] != FORMAT:
            raise GenesisInvalid("the format is not one that is known here")
        genesis = cls(
            chain_id=ChainId(sha256(file_bytes).digest()),
            network=_text(fields["network"], "network"),
            delegates=tuple(_delegate(item) for item in _list(fields["delegates"], "delegates")),
            parties=tuple(_party(item) for item in _list(fields["parties"], "parties")),
            **{name: _count(fields[name], name) for name in _LIMITS},
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

    @property
    def quorum(self) -> int:
        """2f+1 of N = 3f+1 delegates."""
        return 2 * ((len(self.delegates) - 1) // 3) + 1

    def slot_at(self, now: float) -> int:
        """The slot that the instant `now` (seconds since the epoch) lies in; negative before the start."""
        return int((now - self.started_at) // self.slot_seconds)

    def slot_time(self, slot: int) -> int:
        """When `slot` begins, in seconds since the epoch."""
        return self.started_at + slot * self.slot_seconds

    def delegates_hash(self) -> bytes:
        """Commits to the set of delegates and their indices."""
        return labelled_hash(DELEGATES, self.chain_id, encode([delegate.key for delegate in self.delegates]))


def make_genesis(
    *,
    network: str,
    started_at: int,
    slot_seconds: int,
    epoch_blocks: int,
    heartbeat_slots: int,
    delegates: tuple[Delegate, ...],
    parties: tuple[PartyBody, ...],
) -> bytes:
    """The file's bytes, for people to read. Raises `GenesisInvalid` for what `Genesis.parse` would refuse."""
    fields = {
        "format": FORMAT,
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


def _count(value: Any, what: str) -> int:
    if type(value) is not int or not 0 < value <= _LIMITS[what]:
        raise GenesisInvalid(f"{what} is not a whole number from 1 to {_LIMITS[what]}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise GenesisInvalid(f"{what} is not a printable text of 1 to 200 characters")
    return value


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
