"""The ledger's transactions that receipts hold: ANCHOR, PARTY and ACCESS_BATCH (docs/design/ledger.md)."""

from typing import NamedTuple

from gateway.independent import cbor, signatures
from gateway.independent.cbor import Value
from gateway.independent.faults import Invalid
from gateway.independent.genesis import CLIENT_ID, NAME, Genesis, Party

PARTY, ANCHOR, ACCESS_BATCH = 1, 2, 6
REGISTER, ROTATE = 0, 1
GATEWAY_ROLE = 3
MAX_BYTES = 4096
_MAX = (1 << 63) - 1
_UNSIGNED_MAP_OF_5 = b"\xa5"
_SIGNATURE_TAIL = 1 + 2 + 64  # key 5, head of a 64-byte string, the string


class Anchor(NamedTuple):
    root: bytes  # over the container's bundle roots
    bundles: int
    leaves: int


class AccessBatch(NamedTuple):
    root: bytes  # over the entries' leaves
    leaves: int
    first: int  # number of the first entry
    last: int


class Registered(NamedTuple):
    client_id: str
    party: Party


def anchor(raw: bytes, genesis: Genesis) -> Anchor:
    """A well-formed ANCHOR, signed by a gateway of genesis. Raises Invalid."""
    body = _signed_body(raw, ANCHOR, genesis, "anchor.transaction")
    digest, size, root, bundles, leaves = _fields(body, 5, "anchor.transaction: its body")
    if not (_is_bytes(digest, 32) and _is_bytes(root, 32)):
        raise Invalid("anchor.transaction: a hash does not have 32 bytes")
    if not (_is_count(size) and _is_count(bundles) and _is_count(leaves)):
        raise Invalid("anchor.transaction: a count is not one")
    assert isinstance(root, bytes)
    assert isinstance(bundles, int)
    assert isinstance(leaves, int)
    if leaves < bundles:
        raise Invalid("anchor.transaction: fewer leaves than bundles")
    return Anchor(root, bundles, leaves)


def access_batch(raw: bytes, genesis: Genesis) -> AccessBatch:
    """A well-formed ACCESS_BATCH, signed by a gateway of genesis. Raises Invalid."""
    body = _signed_body(raw, ACCESS_BATCH, genesis, "batch.transaction")
    root, leaves, first, last = _fields(body, 4, "batch.transaction: its body")
    if not _is_bytes(root, 32) or not (_is_count(leaves) and _is_count(first) and _is_count(last)):
        raise Invalid("batch.transaction: a hash or count is not one")
    assert isinstance(root, bytes)
    assert isinstance(leaves, int)
    assert isinstance(first, int)
    assert isinstance(last, int)
    if leaves > last - first + 1 or (leaves == 1 and first != last):
        raise Invalid("batch.transaction: its numbers do not fit its leaves")
    return AccessBatch(root, leaves, first, last)


def party(raw: bytes, genesis: Genesis) -> Registered:
    """A well-formed PARTY that registers or rotates, signed by a gateway of genesis. Raises Invalid."""
    what = "issuer.transaction"
    body = _signed_body(raw, PARTY, genesis, what)
    action, client_id, name, role, signing, attestation = _fields(body, 6, f"{what}: its body")
    if type(action) is not int or action not in (REGISTER, ROTATE):
        raise Invalid(f"{what} gives the party no key")
    if type(role) is not int or not 1 <= role <= GATEWAY_ROLE:
        raise Invalid(f"{what}: unknown role")
    if not isinstance(client_id, str) or not CLIENT_ID.fullmatch(client_id) or not isinstance(name, str) or not NAME.fullmatch(name):
        raise Invalid(f"{what}: the client id or name is not well-formed")
    keys = [_key_or_none(signing, what), _key_or_none(attestation, what)]
    if keys[0] == keys[1] or (role == GATEWAY_ROLE and keys[0] is None):
        raise Invalid(f"{what}: its keys do not fit its role")
    return Registered(client_id, Party(name, *keys))


def _signed_body(raw: bytes, kind: int, genesis: Genesis, what: str) -> Value:
    if len(raw) > MAX_BYTES:
        raise Invalid(f"{what} is too large")
    version, found, body, valid_until, signer, signature = _fields(cbor.decode(raw, what), 6, what)
    if type(version) is not int or version != 1:
        raise Invalid(f"{what} has an unknown version")
    if type(found) is not int or found != kind:
        raise Invalid(f"{what} is of another kind")
    if not _is_count(valid_until):
        raise Invalid(f"{what} is valid until an impossible height")
    if not (_is_bytes(signer, 32) and _is_bytes(signature, 64)):
        raise Invalid(f"{what}: its key or signature has another size")
    assert isinstance(signer, bytes)
    assert isinstance(signature, bytes)
    if signer not in genesis.gateway_keys:
        raise Invalid(f"{what} is not signed by a gateway of genesis")
    message = _UNSIGNED_MAP_OF_5 + raw[1:-_SIGNATURE_TAIL]
    signatures.check(signer, signatures.labelled(signatures.TRANSACTION, genesis.chain_id, message), signature, f"the signature of {what}")
    return body


def _fields(value: Value, count: int, what: str) -> list[Value]:
    if not isinstance(value, dict) or list(value) != list(range(count)):
        raise Invalid(f"{what} does not have exactly the fields 0 to {count - 1}")
    return list(value.values())


def _key_or_none(value: Value, what: str) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, bytes):
        raise Invalid(f"{what}: a key is no byte string")
    signatures.public_key(value, f"{what}: a key")
    return value


def _is_bytes(value: Value, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length


def _is_count(value: Value) -> bool:
    return type(value) is int and 0 < value <= _MAX
