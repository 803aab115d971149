"""What a write request carries, as the intake takes it: the decoded body, the signature's headers, the conditions."""

from flask import request

from fhir_adapters.issue import InvalidInput, Issue
from gateway.submission import Submission
from gateway.vault.submission import NONCE_BYTES, from_base64url
from gateway.web.media_type import check_accept, check_content_type
from gateway.web.request_body import request_body
from gateway.web.request_context import request_id, services


def submission(resource_type: str | None = None) -> Submission:
    """The request as a submission; `resource_type` is that of the path. Raises what the headers and the body are refused with."""
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    check_content_type(request.content_type)
    nonce = _nonce(request.headers.get("X-Submission-Nonce"))
    return Submission(
        body=request_body(),
        media_type=request.mimetype,
        resource_type=resource_type,
        signature=request.headers.get("X-Submission-Signature"),
        nonce=nonce,
        request_id=request_id(),
        if_none_exist=request.headers.get("If-None-Exist"),
        received_at=services().clock(),
    )


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
