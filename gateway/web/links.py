"""What is said about one version of a record in headers and links: its addresses, its ETag, where its receipt is."""

from flask import Response
from werkzeug.http import http_date

from gateway.web import addresses


def version_path(reference: str, version: int) -> str:
    """`Type/id/_history/v`, relative to the FHIR base."""
    return f"{reference}/_history/{version}"


def receipt_url(base_url: str, reference: str, version: int) -> str:
    """Where the receipt of this version is, or will be once the ledger has accepted it."""
    return f"{base_url}/ledger/receipts/{version_path(reference, version)}"


def etag(version: int) -> str:
    """The weak ETag that FHIR gives a version (http://hl7.org/fhir/R4/http.html#versioning)."""
    return f'W/"{version}"'


def describe(answer: Response, reference: str, version: int, updated_ms: int) -> Response:
    """Put ETag, Last-Modified (`updated_ms`: milliseconds since the epoch) and the receipt's Link on `answer`."""
    answer.headers["Link"] = f'<{receipt_url(addresses.base_url(), reference, version)}>; rel="receipt"'
    return dated(answer, version, updated_ms)


def dated(answer: Response, version: int, updated_ms: int) -> Response:
    """Put ETag and Last-Modified alone on `answer`, of what has no receipt of its own."""
    answer.headers["ETag"] = etag(version)
    answer.headers["Last-Modified"] = http_date(updated_ms // 1000)
    return answer
