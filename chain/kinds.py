"""The kinds of transactions, and what the bodies of all kinds are checked with."""

import re
from enum import IntEnum
from typing import Any

from chain.errors import LedgerError
from chain.merkle import HASH_SIZE

MAX_HEIGHT = (1 << 63) - 1  # what the store's integers hold
_NUMBERS = tuple(range(24))
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,200}")


class TransactionInvalid(LedgerError):
    """A transaction breaks a rule that needs no state; the message names the rule."""


class Kind(IntEnum):
    """Numbered for ever. Only those with a body in `chain.transactions.BODIES` are known; a transaction of another kind is refused."""

    PARTY = 1
    ANCHOR = 2
    RESEAL = 3
    CONSENT_GRANT = 4
    CONSENT_REVOKE = 5
    ACCESS_BATCH = 6
    EMERGENCY_ACCESS = 7
    AUDIT_REPORT = 8
    DELEGATE = 9
    VOTE = 10
    UNJAIL = 11
    EVIDENCE = 12
    TRANSFER = 13


def check_fields(fields: Any, count: int) -> None:
    """Raises `TransactionInvalid` unless `fields` is a map with exactly the keys 0 to `count` - 1."""
    if type(fields) is not dict or tuple(fields) != _NUMBERS[:count]:
        raise TransactionInvalid(f"a map does not have exactly the fields 0 to {count - 1}")


def is_count(value: Any) -> bool:
    """Whether `value` is a whole number from 1 to 2^63 - 1."""
    return type(value) is int and 0 < value <= MAX_HEIGHT


def is_hash(value: Any) -> bool:
    """Whether `value` has the form of a SHA-256."""
    return type(value) is bytes and len(value) == HASH_SIZE


def is_name(value: Any) -> bool:
    """Whether `value` can be the name of a party or delegate: 1 to 200 characters, no control characters or line breaks."""
    return isinstance(value, str) and bool(_NAME.fullmatch(value))
