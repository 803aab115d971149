"""The resource type in a path: known here or not (http://hl7.org/fhir/R4/http.html#read, 404 for a type that is not supported)."""

import msgspec

from fhir_adapters.definitions import RESOURCE_TYPES
from fhir_adapters.issue import InvalidInput, Issue
from gateway.errors import NotFound


class _Typed(msgspec.Struct):
    resourceType: str | None = None  # noqa: N815 - FHIR's name


def check_type(resource_type: str) -> None:
    """Raises NotFound for a type that this server does not keep."""
    if resource_type not in RESOURCE_TYPES:
        raise NotFound("this server keeps no resources of this type", code="not-supported")


def check_body_type(body: bytes, resource_type: str) -> None:
    """Raises InvalidInput (400) if `body` says it is another type than the path's. What it does not say is judged where it is parsed."""
    try:
        said = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=_Typed).resourceType
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return
    if said is not None and said != resource_type:
        raise InvalidInput([Issue("invalid", "the body is of another resource type than the address", "resourceType")], unreadable=True)
