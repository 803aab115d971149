"""Following a search to its end (http://hl7.org/fhir/R4/http.html#paging). Resources are handed on as the bytes that were served."""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from gateway.client.connection import Answer, Connection, Unreachable
from gateway.consent.purpose import HEADER

FHIR_JSON = "application/fhir+json"
_NUMBER = re.compile(r"[0-9]+", re.ASCII)


class FetchRefused(Exception):
    """The gateway does not give it; the message is its reason."""


class _Link(msgspec.Struct):
    relation: str
    url: str


class _Search(msgspec.Struct, frozen=True):
    mode: str = "match"


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()
    fullUrl: str = ""  # noqa: N815 - FHIR's name
    search: _Search = _Search()


class _Page(msgspec.Struct):
    resourceType: str  # noqa: N815 - FHIR's name
    link: list[_Link] = []
    entry: list[_Entry] = []


class _Typed(msgspec.Struct):
    resourceType: str  # noqa: N815 - FHIR's name


class FetchedPage(NamedTuple):
    """`accesses`: the numbers under which the gateway logged that it gave them, where it did so by a consent."""

    resources: list[bytes]
    accesses: list[int]


def fetch_pages(connection: Connection, query: str, *, purpose: str | None) -> Iterator[FetchedPage]:
    """The resources of each page of `query`, such as `Observation?patient=ID`; one page with one resource for `Type/id`.

    What comes with pages because their records refer to it is given once.

    Raises FetchRefused for any answer that says no, also on a later page, and what the connection raises.
    """
    headers = {"Accept": FHIR_JSON} | ({HEADER: purpose} if purpose else {})
    seen: set[str] = set()
    included: set[str] = set()
    path: str | None = "/fhir/" + query.removeprefix("/").removeprefix("fhir/")
    while path is not None:
        if path in seen:
            raise Unreachable("the gateway's next links go round in a circle")
        seen.add(path)
        answer = connection.ask("GET", path, headers=headers)
        resources, path = _read(answer, included)
        yield FetchedPage(resources, [int(number) for number in _NUMBER.findall(answer.headers.get("X-Access-Sequence", ""))])


def _read(answer: Answer, included: set[str]) -> tuple[list[bytes], str | None]:
    if answer.status >= 500:
        raise Unreachable(_reason(answer))
    if answer.status != 200:
        raise FetchRefused(_reason(answer))
    try:
        if msgspec.json.decode(answer.body, type=_Typed).resourceType != "Bundle":
            return [answer.body], None
        page = msgspec.json.decode(answer.body, type=_Page)
    except msgspec.DecodeError as error:
        raise Unreachable("what answers there is no FHIR server") from error
    following = next((link.url for link in page.link if link.relation == "next"), None)
    resources = [bytes(entry.resource) for entry in page.entry if bytes(entry.resource) and not _is_repeated(entry, included)]
    return resources, None if following is None else _path(following)


def _is_repeated(entry: _Entry, included: set[str]) -> bool:
    """Whether an earlier page had it; if not, it is had from now on."""
    if entry.search.mode != "include" or not entry.fullUrl:
        return False
    before = entry.fullUrl in included
    included.add(entry.fullUrl)
    return before


def _path(url: str) -> str:
    """What the gateway calls itself may differ from how it was reached; the token goes nowhere else than there."""
    parts = urlsplit(url)
    path = parts.path[max(parts.path.find("/fhir/"), 0) :]
    return f"{path}?{parts.query}" if parts.query else path


def _reason(answer: Answer) -> str:
    try:
        issues = json.loads(answer.body)["issue"]
        return f"{'; '.join(issue['diagnostics'] for issue in issues)} (HTTP status {answer.status})"
    except (ValueError, KeyError, IndexError, TypeError):
        return f"the gateway answered with HTTP status {answer.status}"
