"""Every place of a JSON document changed."""

import copy
import json


def places(value, path=()):
    """Every value in a JSON document, by the names and numbers that lead to it."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, (*path, name))


def other_values(value):
    """What `value` might be replaced with, by its kind."""
    if isinstance(value, str):
        middle = len(value) // 2
        swapped = "b" if value[middle : middle + 1] != "b" else "c"
        yield from (
            value[:middle] + swapped + value[middle + 1 :],
            value[:-1],
            value + "A",
            value + "=",
            value + "\n",
            "",
            0,
            None,
            [value],
        )
        yield from (text for text in (value.upper(), value.swapcase(), value[::-1], value[-1] + value[1:]) if text != value)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value + 256, -value - 1, float(value), str(value), value == 1, None, 2**53 + value, 2**64 + value)
    elif isinstance(value, list):
        yield from ([*value, 0], [*value, [0, "A"]], {}, None, "")
        if value:
            yield from (value[1:], value[:-1], [*value, value[-1]], [value[0], *value])
        if len(value) > 1 and value[::-1] != value:
            yield value[::-1]
    else:
        yield from ({**value, "more": 1}, [], None, "genesis", {}, *({k: v for k, v in value.items() if k != lost} for lost in value))


def changed(document, path, value):
    document = copy.deepcopy(document)
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return json.dumps(document).encode()


def at(document, path):
    for name in path:
        document = document[name]
    return document
