"""genesis.json, as far as receipts need it: delegates, who may sign for the gateway, slot times (docs/design/ledger.md)."""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from gateway.independent import json_text, signatures
from gateway.independent.faults import Invalid, Unreadable

CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,99}", re.ASCII)
NAME = re.compile("[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,200}")
FIXED, ELECTED = "fhir-anchor genesis 1", "fhir-anchor genesis 2"  # formats: the second gives out stake, which elects delegates
MAX_SEATS, MAX_STAKE = 100, 1_000_000
_LIMITS = {"started_at": 1 << 40, "slot_seconds": 3600, "epoch_blocks": 1 << 20, "heartbeat_slots": 1 << 20}


class Party(NamedTuple):
    name: str
    signing_key: bytes | None
    attestation_key: bytes | None


class Genesis(NamedTuple):
    chain_id: bytes
    started_at: int  # seconds since the epoch
    slot_seconds: int
    epoch_blocks: int
    elects: bool  # whether other delegates can follow
    delegates: tuple[bytes, ...]  # public keys of the first set; a delegate's number is its place
    parties: dict[str, Party]
    gateway_keys: frozenset[bytes]


def read(data: bytes) -> Genesis:
    """Raises Unreadable: without the chain's rules nothing can be checked."""
    try:
        return _read(json_text.load(data), sha256(data).digest())
    except (ValueError, TypeError, KeyError, AttributeError, Invalid) as error:
        raise Unreadable(f"the genesis file is none: {error}") from error


def _read(found: Any, chain_id: bytes) -> Genesis:
    elects = isinstance(found, dict) and found.get("format") == ELECTED
    _expect(found, {"format", "network", *_LIMITS, "delegates", "parties"} | ({"seats", "stakes"} if elects else set()))
    if not elects and found["format"] != FIXED:
        raise ValueError("its format is not known here")
    if any(type(found[name]) is not int or not 0 < found[name] <= limit for name, limit in _LIMITS.items()):
        raise ValueError("a number is none, or out of its limits")
    _text(found["network"])
    delegates = tuple(_delegate(delegate) for delegate in found["delegates"])
    if len(delegates) % 3 != 1:
        raise ValueError("the delegates are not 3f+1")
    parties = {party["client_id"]: _party(party) for party in found["parties"]}
    gateways = frozenset(_key(party["signing_key"]) for party in found["parties"] if party["role"] == "gateway")
    if not gateways:
        raise ValueError("no party is a gateway")
    _distinct([delegate["name"] for delegate in found["delegates"]])
    _distinct(delegates)
    _distinct([party["client_id"] for party in found["parties"]])
    _distinct([party.signing_key for party in parties.values() if party.signing_key])
    if elects:
        _check_stakes(found["seats"], found["stakes"], len(delegates))
    return Genesis(chain_id, found["started_at"], found["slot_seconds"], found["epoch_blocks"], elects, delegates, parties, gateways)


def _check_stakes(seats: Any, stakes: Any, delegates: int) -> None:
    if type(seats) is not int or seats % 3 != 1 or not max(4, delegates) <= seats <= MAX_SEATS:
        raise ValueError("the seats are not 3f+1 from 4 to 100, and enough for the first delegates")
    if not isinstance(stakes, list):
        raise TypeError("the stakes are no list")
    for stake in stakes:
        _expect(stake, {"holder", "key", "weight"})
        _text(stake["holder"])
        _key(stake["key"])
        if type(stake["weight"]) is not int or stake["weight"] < 1:
            raise ValueError("a stake's weight is none")
    _distinct([stake["holder"] for stake in stakes])
    _distinct([stake["key"] for stake in stakes])
    if not 1 <= sum(stake["weight"] for stake in stakes) <= MAX_STAKE:
        raise ValueError("the stakes are not together 1 to a million")


def _expect(found: Any, names: set[str]) -> None:
    if not isinstance(found, dict) or set(found) != names:
        raise ValueError(f"an object does not have exactly the fields {', '.join(sorted(names))}")


def _distinct(values: Sequence[object]) -> None:
    if len(set(values)) != len(values):
        raise ValueError("two names or keys are the same")


def _text(value: Any) -> None:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError("a name is not a text of 1 to 200 characters without control characters")


def _delegate(found: Any) -> bytes:
    _expect(found, {"name", "key"})
    _text(found["name"])
    return _key(found["key"])


def _party(found: Any) -> Party:
    _expect(found, {"client_id", "name", "role", "signing_key", "attestation_key"})
    if found["role"] not in ("institution", "agency", "gateway"):
        raise ValueError("a party's role is none")
    if not CLIENT_ID.fullmatch(found["client_id"]) or not NAME.fullmatch(found["name"]):
        raise ValueError("a party's client id or name is not well-formed")
    signing, attestation = (None if found[name] is None else _key(found[name]) for name in ("signing_key", "attestation_key"))
    if signing == attestation:
        raise ValueError("a party has no key, or one for two purposes")
    return Party(found["name"], signing, attestation)


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if key.hex() != text:
        raise ValueError("a key is not in lower-case hex")
    signatures.public_key(key, "a key of the genesis")
    return key
