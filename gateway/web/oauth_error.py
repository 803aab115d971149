"""Errors of the token endpoint (RFC 6749, 5.2): JSON, never an OperationOutcome, never stored by a cache."""

from typing import Literal

import msgspec
from flask import Response

ErrorCode = Literal["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"]

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """A token is not given. The description says what to change, and of an unknown client no more than of a known one."""

    def __init__(self, error: ErrorCode, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description

    @property
    def status(self) -> int:
        return 401 if self.error == "invalid_client" else 400

    def response(self) -> Response:
        told = {"error": self.error, "error_description": self.description}
        return Response(msgspec.json.encode(told), self.status, headers=NO_STORE, content_type="application/json")
