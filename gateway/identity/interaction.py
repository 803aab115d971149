"""One write: what it does, to what, and on which condition (http://hl7.org/fhir/R4/http.html#create, #update, #delete).

A request and an entry of a transaction or batch say it in the same words, so both are read here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fhir_adapters import RESOURCE_TYPES, InvalidInput, Issue
from gateway.errors import NotSupported
from gateway.identity.condition import Condition, parse_condition

Method = Literal["POST", "PUT", "DELETE"]
ORDER = ("DELETE", "POST", "PUT")  # in which a transaction's entries take effect (http.html#trules)
ANY_VERSION = 0  # If-Match: *
IF_NONE_MATCH = "a write on If-None-Match is not known here; a create can be made conditional by If-None-Exist"

_ADDRESS = re.compile(r"(?P<type>[A-Z][A-Za-z]{1,63})(?:/(?P<id>[A-Za-z0-9\-.]{1,64})|\?(?P<query>\S+))?")
_ETAG = re.compile(r'(?:W/)?"([1-9][0-9]{0,9})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class Interaction:
    """`id` is what PUT and DELETE name in their address; `condition` their search there, or the If-None-Exist of a POST.

    `if_match` is the version that must be the current one, or ANY_VERSION: it must be there.
    """

    method: Method
    type: str
    id: str | None = None
    condition: Condition | None = None
    if_match: int | None = None


@lru_cache(maxsize=4096)
def parse_interaction(method: str, address: str, if_none_exist: str | None = None, if_match: str | None = None) -> Interaction:
    """`address` is relative to the FHIR base. Raises NotSupported for what this server does not do, InvalidInput for what nobody could."""
    if method not in ORDER:
        raise NotSupported("of the entries of a transaction or batch, this server takes DELETE, POST and PUT")
    found = _ADDRESS.fullmatch(address)
    if found is None or found["type"] not in RESOURCE_TYPES:
        raise InvalidInput([Issue("invalid", "the address names no resource type and id that this server knows")])
    if method == "POST":
        return _create(found, if_none_exist, if_match)
    if if_none_exist is not None:
        raise InvalidInput([Issue("invalid", "If-None-Exist is for POST")])
    return _change("PUT" if method == "PUT" else "DELETE", found, if_match)


def _create(address: re.Match[str], if_none_exist: str | None, if_match: str | None) -> Interaction:
    if if_match is not None:
        raise InvalidInput([Issue("invalid", "If-Match is for PUT and DELETE")])
    if address["id"] or address["query"]:
        raise InvalidInput([Issue("invalid", "a POST names a resource type and nothing else")])
    condition = None if if_none_exist is None else parse_condition(address["type"], if_none_exist)
    return Interaction("POST", address["type"], condition=condition)


def _change(method: Method, address: re.Match[str], if_match: str | None) -> Interaction:
    if not address["id"] and not address["query"]:
        raise InvalidInput([Issue("required", f"a {method} names one resource, by its id or by a search")])
    condition = parse_condition(address["type"], address["query"]) if address["query"] else None
    return Interaction(method, address["type"], address["id"], condition, None if if_match is None else _version(if_match))


def _version(if_match: str) -> int:
    if if_match.strip() == "*":
        return ANY_VERSION
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInput([Issue("value", 'If-Match must be one ETag, such as W/"3"')], unreadable=True)
    return int(found[1])
