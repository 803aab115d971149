"""The versions of the block format (docs/design/ledger.md, versions): which limits hold at a height, and when a chain goes on to the next.

A header says its version, and no header one below its predecessor's; so the version at a height follows from the chain, and a quorum has
executed the first block of each. A producer goes on to a later version where its operator planned that.
"""

from typing import NamedTuple


class Format(NamedTuple):
    """What a block of one version may hold."""

    transactions: int
    size: int  # of all transactions together, bytes


FORMATS = {1: Format(1000, 1 << 20), 2: Format(5000, 2 << 20)}
LATEST = max(FORMATS)
MOST = FORMATS[LATEST]  # what no block of any version is beyond


class Switch(NamedTuple):
    """An operator's plan: from `height` on, blocks have `version`. Nothing goes back; from 1 on it says what a new chain begins with."""

    version: int
    height: int


def version_at(height: int, before: int, switch: Switch | None) -> int:
    """The version of the next block that is built here, of `height`, after one of version `before` (0: after none)."""
    planned = switch.version if switch is not None and height >= switch.height else 0
    return max(before, planned) or LATEST
