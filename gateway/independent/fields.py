"""The fields of a receipt's file, strict, and what all receipts rest on (docs/design/receipt.md)."""

import re
from typing import Any, Protocol

from gateway.independent import header, json_text, tree
from gateway.independent.faults import Invalid, Unreadable
from gateway.independent.genesis import Genesis
from gateway.independent.header import Acting, Header
from gateway.independent.statement import from_base64url

MAX_BYTES = 1 << 20
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


def load(data: bytes) -> Any:
    """The JSON of a receipt's file. Raises Invalid."""
    if len(data) > MAX_BYTES:
        raise Invalid("no receipt: too large for one")
    try:
        return json_text.load(data)
    except ValueError as error:
        raise Invalid(f"no receipt: not JSON as receipts have it: {error}") from error


class Pinned(Protocol):
    """What of a pin counts here (`gateway.independent.pin.Pin`)."""

    @property
    def height(self) -> int: ...
    @property
    def block_hash(self) -> bytes: ...
    @property
    def delegates(self) -> tuple[bytes, ...]: ...


def accepted(receipt: dict[str, Any], genesis: Genesis, pin: Pinned | None = None) -> tuple[Header, int]:
    """The final header, and how many delegates act under it: steps 3 to 5 of every receipt. Raises Invalid, Unreadable."""
    if hash_of(receipt["chain_id"], "chain_id") != genesis.chain_id:  # 3
        raise Invalid("chain_id: the receipt is of another chain than the genesis file")
    raw = from_base64url(receipt["header"], "header")
    if pin is not None and header.height_of(raw) < pin.height:
        raise Unreadable(f"the header is of height {header.height_of(raw)}, older than the pin of height {pin.height}")
    acting = handovers(receipt["handovers"], genesis, pin)  # 4
    head = header.final(raw, votes(receipt["votes"]), genesis, acting)  # 4, 5
    return head, len(acting.delegates)


def of_names(value: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise Invalid(f"{what} does not have exactly the fields {', '.join(sorted(names))}")
    return value


def number(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise Invalid(f"{what} is no number from 0 to 2^53 - 1")
    return value


def hash_of(value: Any, what: str) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise Invalid(f"{what} is not 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)


def list_of(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(f"{what} is no list")
    return value


def path(value: Any, what: str) -> list[bytes]:
    return [hash_of(item, what) for item in list_of(value, what)]


def sided_path(value: Any, what: str) -> list[tuple[str, bytes]]:
    steps = []
    for item in list_of(value, what):
        if not isinstance(item, list) or len(item) != 2 or item[0] not in ("left", "right"):
            raise Invalid(f"{what} has a step that is no side with a hash")
        steps.append((str(item[0]), hash_of(item[1], what)))
    return steps


def handovers(value: Any, genesis: Genesis, pin: Pinned | None = None) -> Acting:
    """Who acts after the last of them. Those from before a pin must lead to its delegates; from the pin on, the pin alone counts."""
    acting, is_pinned = Acting(0, genesis.delegates), pin is None
    for place, item in enumerate(list_of(value, "handovers")):
        part = of_names(item, {"header", "votes", "delegates"}, "a handover")
        raw, delegates = from_base64url(part["header"], "header"), path(part["delegates"], "a handover's delegates")
        try:
            if pin is not None and not is_pinned and header.height_of(raw) >= pin.height:
                acting, is_pinned = _at_pin(acting, pin), True
            acting = header.handed_over(raw, votes(part["votes"]), delegates, genesis, acting)
        except Invalid as error:
            raise Invalid(f"handovers: {place}: {error}") from error
    return acting if is_pinned or pin is None else _at_pin(acting, pin)


def _at_pin(reached: Acting, pin: Pinned) -> Acting:
    if reached.after and reached.delegates != pin.delegates:
        raise Invalid("they lead to other delegates than those of the pin")
    return Acting(pin.height - 1, pin.delegates, pin.block_hash)


def votes(value: Any) -> list[tuple[int, bytes]]:
    found = []
    for item in list_of(value, "votes"):
        if not isinstance(item, list) or len(item) != 2:
            raise Invalid("votes: one is no number with a signature")
        found.append((number(item[0], "votes: a delegate's number"), from_base64url(item[1], "votes: a signature")))
    return found


def transaction_of(value: Any, what: str) -> bytes:
    return from_base64url(of_names(value, {"transaction", "index", "path"}, what)["transaction"], f"{what}.transaction")


def check_in_log(part: dict[str, Any], raw: bytes, head: Header, what: str) -> None:
    index, steps = number(part["index"], f"{what}.index"), path(part["path"], f"{what}.path")
    if tree.root_by_index(tree.leaf(raw), index, head.log_size, steps, f"{what}.path") != head.log_root:
        raise Invalid(f"{what}.path does not lead to the header's log root")
