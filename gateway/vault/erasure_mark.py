"""What an erasure leaves in the bucket: that the keys of an archive were destroyed, for whoever restores an older database.

    tombstones/<key id, hex>    {"format": "fhir-anchor tombstone 1", "key_id": hex, "tag": hex}

The tag needs a key of the gateway's own, so that who can write the bucket cannot have archives destroyed at the next restore.
"""

import hmac
import re
from typing import Literal

import msgspec

from gateway.vault import primitives
from gateway.vault.primitives import Prf

FOLDER = "tombstones/"
_NAME = re.compile(r"tombstones/([0-9a-f]{32})", re.ASCII)


MAX_BYTES = 1024  # one has some 130; what is longer is none


class _Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["fhir-anchor tombstone 1"]
    key_id: str
    tag: str


def mark_name(key_id: bytes) -> str:
    """The object's name for the archive of this 16-byte key id."""
    return f"{FOLDER}{key_id.hex()}"


def key_id_of_name(name: str) -> bytes | None:
    """The key id that a name states, None for any other name."""
    match = _NAME.fullmatch(name)
    return bytes.fromhex(match[1]) if match else None


def mark_body(own_key: bytes, key_id: bytes) -> bytes:
    """The same for ever, so that putting it twice does no harm. `own_key`: the gateway's own index key, 32 bytes."""
    return msgspec.json.encode(_Mark("fhir-anchor tombstone 1", key_id.hex(), _tag(own_key, key_id).hex()))


def is_mark(own_key: bytes, key_id: bytes, body: bytes) -> bool:
    """Whether this gateway wrote `body` for the archive of this key id."""
    try:
        mark = msgspec.json.decode(body, type=_Mark)
    except msgspec.MsgspecError:
        return False
    return mark.key_id == key_id.hex() and hmac.compare_digest(mark.tag.encode(), _tag(own_key, key_id).hex().encode())


def _tag(own_key: bytes, key_id: bytes) -> bytes:
    return Prf(primitives.derive(own_key, primitives.ERASURE_MARK)).digest(key_id)
