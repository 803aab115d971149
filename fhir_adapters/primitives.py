r"""The primitive types of FHIR R4 and what text each may hold: http://hl7.org/fhir/R4/datatypes.html#primitive.

Both validating paths use these same expressions, so they cannot disagree. `\Z` and `[0-9]` are meant: `$` lets a newline pass and `\d`
takes the digits of every script.
"""

import binascii
import re
from dataclasses import dataclass

from msgspec import Raw

from fhir_adapters.narrative import narrative_fault

_YEAR = r"(?!0000)[0-9]{4}"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?<=[02468][048]00-|[13579][26]00-|..0[48]-|[0-9][0-9][2468][048]-|[0-9][0-9][13579][26]-)02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

STRING_PATTERNS = {
    "base64Binary": None,
    "canonical": r"\A\S+\Z",
    "code": r"\A\S+(?:\s\S+)*\Z",
    "date": rf"\A(?:{_YEAR}-{_DAY}|{_YEAR}(?:-{_MONTH})?)\Z",
    "dateTime": rf"\A(?:{_YEAR}-{_DAY}(?:T{_TIME}{_ZONE})?|{_YEAR}(?:-{_MONTH})?)\Z",
    "id": r"\A[A-Za-z0-9\-.]{1,64}\Z",
    "instant": rf"\A{_YEAR}-{_DAY}T{_TIME}{_ZONE}\Z",
    "markdown": None,
    "oid": r"\Aurn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+\Z",
    "string": None,
    "time": rf"\A{_TIME}\Z",
    "uri": r"\A\S+\Z",
    "url": r"\A\S+\Z",
    "uuid": r"\Aurn:uuid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z",
    "xhtml": None,
}
INTEGER_RANGES = {"integer": (-(2**31), 2**31 - 1), "unsignedInt": (0, 2**31 - 1), "positiveInt": (1, 2**31 - 1)}

_PATTERNS = {name: re.compile(pattern) for name, pattern in STRING_PATTERNS.items() if pattern}
_INTEGER = re.compile(rb"(?:0|-?[1-9][0-9]{0,9})\Z")
# FHIR sets no bound; no measurement needs more, and what computes with the value later must not be made to allocate by it.
DECIMAL = re.compile(rb"-?(?:0|[1-9][0-9]{0,63})(?:\.[0-9]{1,64})?(?:[eE][+-]?[0-9]{1,3})?\Z")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a value is not of its type: an issue code (`structure` or `value`) and the rule, without the value."""

    code: str
    rule: str


def number_fault(type_name: str, spelled: bytes | Raw) -> Fault | None:
    """What is wrong with a JSON number, as `spelled`, for an element of type decimal, integer, unsignedInt or positiveInt."""
    if type_name == "decimal":
        return None if DECIMAL.match(spelled) else Fault("value", "not a decimal of at most 64 digits a side and three of exponent")
    lowest, highest = INTEGER_RANGES[type_name]
    if _INTEGER.match(spelled) and lowest <= int(bytes(spelled)) <= highest:
        return None
    return Fault("value", f"not a valid {type_name}")


def string_fault(type_name: str, text: str) -> Fault | None:
    """What is wrong with a JSON string for an element of primitive type `type_name`."""
    if not text:
        return Fault("value", "an empty string")
    if _CONTROL.search(text):
        return Fault("value", "a control character that FHIR does not allow")
    pattern = _PATTERNS.get(type_name)
    if pattern is not None:
        return None if pattern.match(text) else Fault("value", f"not a valid {type_name}")
    if type_name == "base64Binary":
        return None if is_base64(text) else Fault("value", "not valid base64")
    if type_name == "xhtml":
        rule = narrative_fault(text)
        return Fault("invariant", rule) if rule else None
    return None


def is_base64(text: str) -> bool:
    """Whether `text` is base64 (RFC 4648, section 4) with its padding; white space may stand anywhere, as R4 allows."""
    try:
        binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        return False
    return bool(text.strip())
