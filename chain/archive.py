"""Old transactions that lie in the object store and no longer in the database: packs of `PACK` neighbours in the log.

Blocks, votes and the log's tiles stay where they were: whatever was proven still is, and a pack is only bytes whose hashes are known. The
database has a row for each, with the digest of the object; a transaction that is still in the database, too, is read there.
"""

import re
from collections.abc import Callable
from hashlib import sha256

from sqlalchemy import Connection, select

from chain.encoding import EncodingError, decode, encode
from chain.findings import Code, Finding
from chain.tables import log_entry, pack
from chain.transactions import MAX_TRANSACTION_BYTES

PACK = 4096  # transactions
MAX_PACK_BYTES = PACK * (MAX_TRANSACTION_BYTES + 3) + 3  # each after the head of a byte string, all after that of an array
ObjectReader = Callable[[str], bytes | None]  # an object's name -> its bytes, None if there is none
_NAME = re.compile(r"ledger/(\d{12})-([0-9a-f]{64})", re.ASCII)


def pack_name(number: int, digest: bytes) -> str:
    """Of the object with the `number`-th pack, from 0 on, whose bytes have this digest."""
    return f"ledger/{number:012}-{digest.hex()}"


def pack_of_name(name: str) -> tuple[int, bytes] | None:
    """Number and digest that a pack's name states, None for any other name."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), bytes.fromhex(match[2])) if match else None


def span(number: int) -> range:
    """The log indices of a pack."""
    return range(number * PACK, (number + 1) * PACK)


def to_pack(transactions: list[bytes]) -> bytes:
    """The object's bytes."""
    return encode(transactions)


class Packs:
    """Reads packs, and holds the last one. `read` is missing where there is no object store at hand."""

    def __init__(self, read: ObjectReader | None = None) -> None:
        self._read = read
        self._held: tuple[str, list[bytes]] = ("", [])  # name, transactions

    def transactions(self, connection: Connection, wanted: range, faults: list[Finding]) -> dict[int, bytes]:
        """What of `wanted` (log indices) the packs hold; what is wrong with one of them is added to `faults`."""
        found: dict[int, bytes] = {}
        if not wanted:
            return found
        first, last = wanted.start // PACK, (wanted.stop - 1) // PACK
        for row in connection.execute(select(pack).where(pack.c.number >= first, pack.c.number <= last).order_by(pack.c.number)):
            entries = zip(span(row.number), self._load(row.number, row.digest, faults), strict=False)
            found.update((index, raw) for index, raw in entries if index in wanted)
        return found

    def _load(self, number: int, digest: bytes, faults: list[Finding]) -> list[bytes]:
        name = pack_name(number, digest)
        held, transactions = self._held
        if held == name:
            return transactions
        body = None if self._read is None else self._read(name)
        where = "in the object store" if self._read else "at hand: no object store was given"
        fault = None if body is not None else Finding(Code.PACK_MISSING, f"pack {number}", f"{name} is not {where}")
        try:
            listed = [] if body is None else decode(body)
        except EncodingError:
            listed = []
        if body is not None and sha256(body).digest() != digest:
            fault = Finding(Code.PACK_ALTERED, f"pack {number}", f"{name} is not what was written")
        if type(listed) is not list or not all(type(raw) is bytes for raw in listed):
            listed = []
        if fault is None:
            self._held = (name, listed)
        elif fault not in faults:
            faults.append(fault)
        return listed


def read_transactions(connection: Connection, packs: Packs, wanted: range, faults: list[Finding]) -> dict[int, bytes]:
    """Those of `wanted` that are recorded, by log index: from the database, what is not there from the packs."""
    query = select(log_entry).where(log_entry.c.log_index >= wanted.start, log_entry.c.log_index < wanted.stop)
    here = {row.log_index: row.raw for row in connection.execute(query)}
    return here if len(here) == len(wanted) else {**packs.transactions(connection, wanted, faults), **here}
