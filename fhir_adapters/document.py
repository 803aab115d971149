"""A JSON document as it was sent, for the slow path: numbers keep their spelling and duplicate keys are remembered.

The fast path never comes here; what it refuses, or cannot vouch for, is read again with this.
"""

import json
from collections import Counter
from typing import Any

import msgspec

from fhir_adapters.text import MAX_DEPTH, is_deeper_than, unreadable


class Number(str):
    """A JSON number exactly as spelled: `1.50`, `1e2`."""

    __slots__ = ()


class Node(dict[str, Any]):
    """A JSON object whose members can be read as attributes, like those of a compiled struct; an absent one is UNSET."""

    repeated: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return self.get(name, msgspec.UNSET)


def read_document(raw: bytes) -> Node:
    """The JSON object in `raw`. Raises InvalidInput (unreadable) if it is none, or nested deeper than 100 levels."""
    if is_deeper_than(raw, MAX_DEPTH):
        raise unreadable(f"nested deeper than {MAX_DEPTH} levels")
    try:
        document = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_node, parse_float=Number, parse_int=Number, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise unreadable("the JSON cannot be read") from error
    if not isinstance(document, Node):
        raise unreadable("not a JSON object")
    return document


def _node(pairs: list[tuple[str, Any]]) -> Node:
    node = Node(pairs)
    if len(node) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        node.repeated = tuple(name for name, count in counts.items() if count > 1)
    return node


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
