"""X-Access-Sequence and X-Access-Leaf: what the access log has of an answer, for the reader to keep (docs/design/access.md)."""

from collections.abc import Sequence

from flask import Response

from gateway.access_log import LoggedAccess


def name_accesses(answer: Response, accesses: Sequence[LoggedAccess]) -> Response:
    """Put both on `answer`, in the same order, a comma between; leaves in hex. Nothing where nothing rests on a grant."""
    if accesses:
        answer.headers["X-Access-Sequence"] = ", ".join(str(access.sequence) for access in accesses)
        answer.headers["X-Access-Leaf"] = ", ".join(access.leaf.hex() for access in accesses)
    return answer
