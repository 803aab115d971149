"""Content negotiation of FHIR R4 (http://hl7.org/fhir/R4/http.html#mime-type): what a request may carry, what an answer may be.

Only JSON, only R4, so far; everything else is refused by name, never guessed at.
"""

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_options_header

from gateway.errors import GatewayError, UnsupportedMedia

FHIR_JSON = "application/fhir+json"
_ACCEPTED = (FHIR_JSON, "application/json")
_FORMATS = (*_ACCEPTED, "json")
FHIR_VERSION = "4.0"


class NotAcceptable(GatewayError):
    """406: the client takes nothing that this server can give."""

    status = 406
    code = "not-supported"


def check_content_type(header: str | None) -> None:
    """Raises UnsupportedMedia unless `header` announces R4 JSON in UTF-8."""
    kind, parameters = parse_options_header(header)
    if kind.lower() not in _ACCEPTED:
        raise UnsupportedMedia(f"the Content-Type of a request must be {FHIR_JSON} or application/json")
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMedia("FHIR JSON is UTF-8; send no other charset")
    if parameters.get("fhirversion", FHIR_VERSION) != FHIR_VERSION:
        raise UnsupportedMedia(f"only FHIR R4 is read (fhirVersion={FHIR_VERSION})")


def check_accept(accept: MIMEAccept, format_parameter: str | None) -> None:
    """Raises NotAcceptable unless FHIR JSON will do. `_format` wins over the header, as the specification has it."""
    if format_parameter is not None:
        # "+" of application/fhir+json reads as a blank where a client did not escape it.
        if format_parameter.replace(" ", "+") not in _FORMATS:
            raise NotAcceptable(f"_format must be json or {FHIR_JSON}")
        return
    if accept and not any(_is_ours(kind) for kind, quality in accept if quality > 0):
        raise NotAcceptable(f"answers are {FHIR_JSON} in FHIR {FHIR_VERSION} only")


def _is_ours(media_range: str) -> bool:
    kind, parameters = parse_options_header(media_range)
    return kind.lower() in (*_ACCEPTED, "application/*", "*/*") and parameters.get("fhirversion", FHIR_VERSION) == FHIR_VERSION
