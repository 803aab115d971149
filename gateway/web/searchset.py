"""The Bundle that answers a search (http://hl7.org/fhir/R4/http.html#search): a page, the self link, and the next link if there is more.

Every resource stands in it as its committed bytes, verbatim. There is no `total`: it would count what the reader may not see, or change
from page to page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import msgspec
from flask import Response, request

from gateway.access_log import LoggedAccess
from gateway.disclosure import Disclosed
from gateway.search.cursor import Cursor, open_cursor, seal_cursor
from gateway.search.page import find_page
from gateway.search.parse import Parameter, Search, check_size, refused
from gateway.web import addresses
from gateway.web.accesses import name_accesses
from gateway.web.authorization import caller
from gateway.web.links import receipt_url
from gateway.web.media_type import FHIR_JSON, check_accept
from gateway.web.preferences import wants_strict_handling
from gateway.web.purpose import stated_purpose
from gateway.web.request_context import services

CURSOR = "_cursor"  # ours, in next links: it holds the whole search
_MAX_FIELDS = 1000


def parameters(query: bytes) -> list[Parameter]:
    """Names and values of a query string or a form; InvalidInput (400) for what is not UTF-8 or far too much."""
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except UnicodeError:
        raise refused("structure", "the parameters are not UTF-8, percent-encoded") from None
    except ValueError:
        raise refused("too-costly", "there are too many parameters") from None


@dataclass(frozen=True, slots=True)
class Found:
    """Entries of a page, after which place to go on (None at the end), and how it was logged."""

    entries: list[dict[str, object]]
    next_after: int | None
    accesses: Sequence[LoggedAccess] = ()


def find_records(search: Search, after: int) -> Found:
    """Records that the caller may have for what it states."""
    party = caller().party
    page = find_page(services(), party, stated_purpose(party), search, after)
    entries = [_entry(record, mode) for records, mode in ((page.records, "match"), (page.included, "include")) for record in records]
    return Found(entries, page.next_after, page.accesses)


def answer(
    target: str,
    given: Sequence[Parameter],
    parse: Callable[[Sequence[Parameter], bool], Search],
    find: Callable[[Search, int], Found] = find_records,
) -> Response:
    """One page. `target` is the path below the FHIR base; `parse` reads the parameters, strictly or not; `find` goes on after a place."""
    check_accept(request.accept_mimetypes, dict(given).get("_format"))
    cursor = _cursor(target, given)
    used, after, strict = (given, 0, wants_strict_handling(request.headers.get("Prefer"))) if cursor is None else (*cursor, True)
    search = parse(used, strict)
    found = find(search, after)
    base = f"{addresses.fhir_base()}/{target}"
    own = _query(search.used if cursor is None else [pair for pair in given if pair[0] == CURSOR])
    links = [{"relation": "self", "url": base + own}]
    if found.next_after is not None:
        following, client_id = Cursor(target, search.used, found.next_after), caller().party.client_id
        sealed = seal_cursor(following, key=services().token_key, client_id=client_id, now=_now(), random=services().random)
        links.append({"relation": "next", "url": base + _query([(CURSOR, sealed)])})
    bundle = {"resourceType": "Bundle", "type": "searchset", "link": links}
    answered = Response(msgspec.json.encode(bundle | ({"entry": found.entries} if found.entries else {})), content_type=FHIR_JSON)
    return name_accesses(answered, found.accesses)


def _cursor(target: str, given: Sequence[Parameter]) -> tuple[Sequence[Parameter], int] | None:
    """What a next link goes on with; it is taken as it was given, with nothing added."""
    if CURSOR not in dict(given):
        return None
    if len([name for name, _ in given if name != "_format"]) != 1:
        raise refused("value", "a next link is taken as it was given, without further parameters")
    check_size([pair for pair in given if pair[0] != CURSOR])
    found = open_cursor(dict(given)[CURSOR], target=target, key=services().token_key, client_id=caller().party.client_id, now=_now())
    return found.parameters, found.after


def _now() -> int:
    return int(services().clock())


def _query(used: Sequence[Parameter]) -> str:
    return f"?{urlencode(used)}" if used else ""


def _entry(record: Disclosed, mode: str) -> dict[str, object]:
    reference = f"{record.location.type}/{record.id}"
    return {
        "fullUrl": f"{addresses.fhir_base()}/{reference}",
        "link": [{"relation": "receipt", "url": receipt_url(addresses.base_url(), reference, record.location.version)}],
        "resource": msgspec.Raw(record.body),
        "search": {"mode": mode},
    }
