"""X-Request-Id: one name for a request in its answer, in the log and in `meta.source` of what it wrote."""

import re
from collections.abc import Callable

HEADER = "X-Request-Id"
_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


def request_id_from(header: str | None, random: Callable[[int], bytes]) -> str:
    """The client's own id if it is one (8 to 64 letters, digits, `.`, `_`, `-`: it goes into logs and headers), else a new one."""
    if header is not None and _FORM.fullmatch(header):
        return header
    return random(12).hex()
