"""What a write request carries, as the intake takes it: the decoded body, the signature's headers, the conditions."""

from flask import request

from fhir_adapters.issue import InvalidInput, Issue
from gateway.errors import NotSupported
from gateway.identity.interaction import IF_NONE_MATCH, Interaction, Method, parse_interaction
from gateway.submission import Submission, deletion_entry
from gateway.vault.submission import NONCE_BYTES, from_base64url
from gateway.web.authorization import caller
from gateway.web.media_type import FHIR_JSON, check_accept, check_content_type
from gateway.web.request_body import request_body
from gateway.web.request_context import request_id, services
from gateway.web.resource_type import check_body_type, check_type

_MAX_KEY = 255
_LETTERS = {"POST": "c", "PUT": "u", "DELETE": "d"}  # of SMART's scopes


def bundle() -> Submission:
    """`POST /fhir`. Raises what the headers and the body are refused with."""
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    check_content_type(request.content_type)
    return _submission(request_body(), None)


def write(method: Method, resource_type: str, record_id: str | None = None) -> Submission:
    """A create or update of a resource of this type; without `record_id`, an update names it by the search in the address."""
    check_type(resource_type)
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    check_content_type(request.content_type)
    interaction = parse_interaction(method, _address(method, resource_type, record_id), _header("If-None-Exist"), _header("If-Match"))
    body = request_body()
    check_body_type(body, resource_type)
    return _submission(body, interaction)


def deletion(resource_type: str, record_id: str | None = None) -> Submission:
    """A DELETE, of what the address names by id or search; a body is not looked at."""
    check_type(resource_type)
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    address, if_match = _address("DELETE", resource_type, record_id), _header("If-Match")
    interaction = parse_interaction("DELETE", address, _header("If-None-Exist"), if_match)
    return _submission(deletion_entry(address, if_match), interaction)


def _submission(body: bytes, interaction: Interaction | None) -> Submission:
    if _header("If-None-Match") is not None:
        raise NotSupported(IF_NONE_MATCH)
    return Submission(
        body=body,
        media_type=request.mimetype or FHIR_JSON,
        interaction=interaction,
        signature=_header("X-Submission-Signature"),
        nonce=_nonce(_header("X-Submission-Nonce")),
        request_id=request_id(),
        idempotency_key=_idempotency_key(_header("Idempotency-Key")),
        permits=permits,
        received_at=services().clock(),
    )


def permits(method: Method, resource_type: str) -> bool:
    """Whether the caller's token allows a write that stands in a Bundle."""
    return any(scope.allows(_LETTERS[method], resource_type) for scope in caller().token.scopes)


def _address(method: Method, resource_type: str, record_id: str | None) -> str:
    """`Type`, `Type/id` or `Type?search`, as an entry of a Bundle would name it."""
    if record_id is not None:
        return f"{resource_type}/{record_id}"
    search = [part for part in request.query_string.decode("latin-1").split("&") if part and not part.startswith("_format=")]
    return f"{resource_type}?{'&'.join(search)}" if search and method != "POST" else resource_type


def _header(name: str) -> str | None:
    return request.headers.get(name)


def _idempotency_key(header: str | None) -> str | None:
    if header is not None and not (0 < len(header) <= _MAX_KEY and header.isascii() and header.isprintable()):
        raise InvalidInput([Issue("value", f"Idempotency-Key must be 1 to {_MAX_KEY} printable ASCII characters")], unreadable=True)
    return header


def _nonce(header: str | None) -> bytes | None:
    if header is None:
        return None
    try:
        nonce = from_base64url(header)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        raise InvalidInput(
            [Issue("value", f"X-Submission-Nonce must be {NONCE_BYTES} bytes in base64url without padding")], unreadable=True
        )
    return nonce
