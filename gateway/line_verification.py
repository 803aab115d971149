"""Many receipts and proofs, one a line (NDJSON), in constant memory: an outcome for each line, whatever the lines before it were.

A line is a file of its own or, where records are taken, `{"receipt": {...}, "record": "..."}`, the record as served, as text.
Empty lines do not count.
"""

import json
from collections.abc import Iterable, Iterator
from io import BufferedReader
from typing import BinaryIO

from gateway.receipt_json import MAX_BYTES, no_float, no_name_twice
from gateway.verifiers import INVALID, NOT_CHECKED, VALID, Check, Outcome

STEP = 64 * 1024
LONGEST_LINE = 4 * MAX_BYTES  # with a record
_ENVELOPE = {"receipt", "record"}


class TooLong:
    """In place of a line that has more bytes than a line may have."""


def lines_of(pieces: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[bytes | TooLong]:
    """The lines of what comes piece by piece, without their ends; no more than `longest` bytes and a piece are held."""
    held, is_too_long = b"", False
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for end in ended:
            yield TooLong() if is_too_long or len(held) + len(end) > longest else held + end
            held, is_too_long = b"", False
        is_too_long = is_too_long or len(held) + len(rest) > longest
        held = b"" if is_too_long else held + rest
    if held or is_too_long:
        yield TooLong() if is_too_long else held


def verify_lines(lines: Iterable[bytes | TooLong], check: Check, *, with_records: bool) -> Iterator[Outcome]:
    """An outcome for each line that is not empty, with its number, from 1."""
    for number, line in enumerate(lines, 1):
        if isinstance(line, TooLong):
            yield {"line": number, "result": INVALID, "detail": "the line is too long for a receipt"}
        elif line.strip():
            yield {"line": number, **_outcome(line, check, with_records=with_records)}


def _outcome(line: bytes, check: Check, *, with_records: bool) -> Outcome:
    if not line.lstrip().startswith((b'{"receipt"', b'{"record"')):
        return check(line, None)
    try:
        found = json.loads(line.decode(), object_pairs_hook=no_name_twice, parse_float=no_float, parse_constant=no_float)
        if set(found) != _ENVELOPE or not isinstance(found["record"], str):
            raise ValueError("its fields are receipt and record, a text")
        receipt, record = json.dumps(found["receipt"], separators=(",", ":"), ensure_ascii=False).encode(), found["record"].encode()
    except (ValueError, RecursionError) as error:
        return {"result": INVALID, "detail": f"the line is no receipt with its record: {error}"}
    if not with_records:
        return {"result": INVALID, "detail": "records are not taken here; check them with `receipt verify`, which sends them nowhere"}
    return check(receipt, record)


class Counts:
    """How many of a batch are valid, invalid, or could not be checked."""

    def __init__(self) -> None:
        self.of = {VALID: 0, INVALID: 0, NOT_CHECKED: 0}

    def each(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Hands them on, counted."""
        for outcome in outcomes:
            self.of[outcome["result"]] += 1
            yield outcome

    def told(self) -> dict[str, int]:
        """By names without spaces."""
        return {name.replace(" ", "_"): count for name, count in self.of.items()}


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """What a file gives, in steps; of a pipe whatever is there, so that its lines are not waited for together."""
    read = file.read1 if isinstance(file, BufferedReader) else file.read
    while piece := read(STEP):
        yield piece
