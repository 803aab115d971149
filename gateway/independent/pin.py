"""A pin: a header that whoever checks has verified before, to begin at in place of the genesis (docs/design/ledger.md, pins)."""

from typing import NamedTuple

from gateway.independent import fields, header
from gateway.independent.faults import Invalid, Unreadable
from gateway.independent.genesis import Genesis

FORMAT = "fhir-anchor pin 1"
_NAMES = {"format", "chain_id", "height", "hash", "log_size", "log_root", "delegates"}


class Pin(NamedTuple):
    """A block that is known, its log, and who voted for it: public keys, a delegate's number being its place."""

    height: int
    block_hash: bytes
    log_size: int
    log_root: bytes
    delegates: tuple[bytes, ...]


def read_if_any(data: bytes | None, genesis: Genesis) -> Pin | None:
    """Raises Unreadable: like the genesis, a pin is what is checked against."""
    try:
        return None if data is None else _read(data, genesis)
    except Invalid as error:
        raise Unreadable(f"the pin is none: {error}") from error


def _read(data: bytes, genesis: Genesis) -> Pin:
    found = fields.of_names(fields.load(data), _NAMES, "the pin")
    if found["format"] != FORMAT:
        raise Invalid("its format is another")
    if fields.hash_of(found["chain_id"], "chain_id") != genesis.chain_id:
        raise Invalid("it is of another chain than the genesis file")
    delegates = fields.path(found["delegates"], "delegates")
    header.check_can_act(delegates)
    height = fields.number(found["height"], "height")
    if height == 0:
        raise Invalid("its height is that of no block")
    log_size, log_root = fields.number(found["log_size"], "log_size"), fields.hash_of(found["log_root"], "log_root")
    return Pin(height, fields.hash_of(found["hash"], "hash"), log_size, log_root, tuple(delegates))
