"""JSON (RFC 8259) read so that two readers cannot understand two things: UTF-8, no name twice in an object, whole numbers only."""

import json
from typing import Any, NoReturn


def load(data: bytes) -> Any:
    """Raises ValueError."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_once, parse_float=_whole, parse_constant=_whole)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def load_record(data: bytes) -> Any:
    """As `load`, with any numbers of JSON, of which only the length is told: Python would refuse long ones. Raises ValueError."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_whole, parse_int=len, parse_float=len)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def canonical(value: Any) -> bytes:
    """Names sorted, no white space, shortest escapes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise ValueError("a name stands twice in one object")
        seen[name] = value
    return seen


def _whole(_text: str) -> NoReturn:
    raise ValueError("a number is not whole")
