"""genesis.json, as far as receipts need it: delegates, who may sign for the gateway, slot times (docs/design/ledger.md)."""

from hashlib import sha256
from typing import Any, NamedTuple

from gateway.independent import json_text, signatures
from gateway.independent.faults import Invalid, Unreadable

_FIELDS = {"format", "network", "started_at", "slot_seconds", "epoch_blocks", "heartbeat_slots", "delegates", "parties"}
_PARTY_FIELDS = {"client_id", "name", "role", "signing_key", "attestation_key"}


class Party(NamedTuple):
    name: str
    signing_key: bytes | None
    attestation_key: bytes | None


class Genesis(NamedTuple):
    chain_id: bytes
    started_at: int  # seconds since the epoch
    slot_seconds: int
    delegates: tuple[bytes, ...]  # public keys; a delegate's number is its place
    parties: dict[str, Party]
    gateway_keys: frozenset[bytes]

    @property
    def quorum(self) -> int:
        return 2 * (len(self.delegates) - 1) // 3 + 1

    def delegates_hash(self) -> bytes:
        """Over the CBOR array of the delegates' keys."""
        count = len(self.delegates)
        head = bytes([0x80 + count]) if count < 24 else b"\x98" + bytes([count]) if count < 256 else b"\x99" + count.to_bytes(2, "big")
        return signatures.labelled_hash(signatures.DELEGATES, self.chain_id, head + b"".join(b"\x58\x20" + key for key in self.delegates))


def read(data: bytes) -> Genesis:
    """Raises Unreadable: without the chain's rules nothing can be checked."""
    try:
        return _read(json_text.load(data), sha256(data).digest())
    except (ValueError, TypeError, KeyError, AttributeError, Invalid) as error:
        raise Unreadable(f"the genesis file is none: {error}") from error


def _read(found: Any, chain_id: bytes) -> Genesis:
    if set(found) != _FIELDS or found["format"] != "fhir-anchor genesis 1":
        raise ValueError("its fields are not those of a genesis")
    if any(type(found[name]) is not int or found[name] < 1 for name in ("started_at", "slot_seconds", "epoch_blocks", "heartbeat_slots")):
        raise ValueError("a number is none, or below 1")
    delegates = tuple(_key(delegate["key"]) for delegate in found["delegates"])
    if len(delegates) % 3 != 1 or len(set(delegates)) != len(delegates):
        raise ValueError("the delegates are not 3f+1 different ones")
    parties = {party["client_id"]: _party(party) for party in found["parties"]}
    if len(parties) != len(found["parties"]):
        raise ValueError("a client id stands twice")
    gateways = frozenset(_key(party["signing_key"]) for party in found["parties"] if party["role"] == "gateway")
    if not gateways:
        raise ValueError("no party is a gateway")
    return Genesis(chain_id, found["started_at"], found["slot_seconds"], delegates, parties, gateways)


def _party(found: dict[str, Any]) -> Party:
    if set(found) != _PARTY_FIELDS or found["role"] not in ("institution", "agency", "gateway"):
        raise ValueError("a party's fields are not those of a party")
    keys = [None if found[name] is None else _key(found[name]) for name in ("signing_key", "attestation_key")]
    return Party(str(found["name"]), *keys)


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if key.hex() != text:
        raise ValueError("a key is not in lower-case hex")
    signatures.public_key(key, "a key of the genesis")
    return key
