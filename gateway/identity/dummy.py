"""Identifier values that stand for no person, although they stand in the place of one's identifier. Pure.

Forms insist on a value, so people and programs put one in. Two patients who share such a value share nothing.
"""

import re

MIN_CHARACTERS = 4  # of letters and digits: shorter ones are counters, such as a bed or a row of a list
_WORDS = frozenset(
    (
        *(
            "unknown",
            "none",
            "null",
            "nil",
            "missing",
            "notknown",
            "notavailable",
            "notapplicable",
            "notassigned",
            "unassigned",
            "na",
            "tbd",
        ),
        *("test", "tester", "testing", "testpatient", "dummy", "sample", "example", "default", "temp", "temporary", "pending", "refused"),
        *("unbekannt", "ukjent", "inconnu", "desconocido", "undefined", "anonymous", "newborn", "baby", "johndoe", "janedoe"),
    )
)
_RISING, _FALLING = "01234567890123456789", "98765432109876543210"


def is_dummy(value: str) -> bool:
    """Whether `value` is one that many are given: too short, one character throughout, digits in a row (123456789), a word for none."""
    plain = re.sub(r"[\W_]+", "", value).casefold()
    if len(plain) < MIN_CHARACTERS or len(set(plain)) == 1:
        return True
    if plain.rstrip("0123456789") in _WORDS:  # test, test1, unknown0002
        return True
    digits = plain.lstrip("0")
    return digits.isdigit() and (digits in _RISING or digits in _FALLING or len(set(digits)) == 1)
