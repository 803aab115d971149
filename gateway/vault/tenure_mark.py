"""What a restored gateway leaves in the bucket when it takes over, for the one that it was restored from.

    tenures/<number, 12 digits>    {"format": "fhir-anchor tenure 1", "number": int, "id": hex, "taken_at": int, "tag": hex}

Numbers rise with each take-over, and objects are create-only, so of two homes that were restored from one backup one gets the number.
The tag needs a key of the gateway's own, which a backup carries on: who can write the bucket cannot stop a gateway by a mark of theirs.
"""

import hmac
import re
from typing import Literal

import msgspec

from gateway.vault import primitives
from gateway.vault.primitives import Prf

FOLDER = "tenures/"
_NAME = re.compile(r"tenures/([0-9]{12})", re.ASCII)
MAX_BYTES = 1024  # one has some 200; no more is read of what lies there


class TenureMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Home `id` (hex) took over at `taken_at` (seconds since the epoch) as the one of this number."""

    format: Literal["fhir-anchor tenure 1"]
    number: int
    id: str
    taken_at: int
    tag: str


def tenure_name(number: int) -> str:
    """The object's name for the take-over of this number, from 1 on."""
    return f"{FOLDER}{number:012}"


def number_of_name(name: str) -> int | None:
    """The number that a name states, None for any other name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def tenure_body(own_key: bytes, number: int, id_: bytes, taken_at: int) -> bytes:
    """`own_key`: the gateway's own index key, 32 bytes."""
    return msgspec.json.encode(TenureMark("fhir-anchor tenure 1", number, id_.hex(), taken_at, _tag(own_key, number, id_, taken_at)))


def parse_tenure(own_key: bytes, number: int, body: bytes) -> TenureMark | None:
    """What `body` says under the name of this number; None for what this gateway did not write there."""
    try:
        mark = msgspec.json.decode(body, type=TenureMark)
        id_ = bytes.fromhex(mark.id)
        wanted = _tag(own_key, mark.number, id_, mark.taken_at)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None
    is_ours = hmac.compare_digest(mark.tag.encode(), wanted.encode())
    return mark if is_ours and (mark.number, mark.id) == (number, id_.hex()) else None  # the tag has the id's bytes, however spelled


def _tag(own_key: bytes, number: int, id_: bytes, taken_at: int) -> str:
    message = number.to_bytes(8, "big") + taken_at.to_bytes(8, "big") + id_
    return Prf(primitives.derive(own_key, primitives.TENURE_MARK)).digest(message).hex()
