"""What the client would like of an answer, without changing what is done (RFC 7240; http://hl7.org/fhir/R4/http.html#ops)."""

import re
from typing import Literal, cast

Return = Literal["minimal", "representation", "OperationOutcome"]

_STRICT = re.compile(r'(?:^|[,;])\s*handling\s*=\s*"?strict"?\s*(?=[,;]|$)')
_RETURN = re.compile(r'(?:^|[,;])\s*return\s*=\s*"?(minimal|representation|OperationOutcome)"?\s*(?=[,;]|$)')


def preferred_return(header: str | None) -> Return:
    """Which body a write is answered with; `minimal`, none at all, where the client does not say."""
    found = _RETURN.search(header or "")
    return cast(Return, found[1]) if found else "minimal"


def wants_strict_handling(header: str | None) -> bool:
    """Whether parameters that are not known are to be refused rather than left out (http://hl7.org/fhir/R4/search.html#errors)."""
    return _STRICT.search(header or "") is not None
