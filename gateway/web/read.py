"""GET /fhir/{type}/{id} and /_history/{vid}: read and vread (http://hl7.org/fhir/R4/http.html#read), HEAD as well.

The body is the committed bytes, verbatim: whoever has them and the receipt can check the record offline.
"""

import re

from flask import Blueprint, Response, request

from gateway import disclosure
from gateway.errors import NotFound
from gateway.web import addresses
from gateway.web.accesses import name_accesses
from gateway.web.authorization import caller, require
from gateway.web.links import describe
from gateway.web.media_type import FHIR_JSON, check_accept
from gateway.web.purpose import stated_purpose
from gateway.web.request_context import services
from gateway.web.resource_type import check_type

_VERSION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_OURS_ALONE = "private, no-cache"  # the client may keep it, and must ask each time whether it still may

read = Blueprint("read", __name__)


@read.get(addresses.FHIR_PATH + "/<resource_type>/<record_id>")
@require("r")
def read_current(resource_type: str, record_id: str) -> Response:
    return _answer(resource_type, record_id, None)


@read.get(addresses.FHIR_PATH + "/<resource_type>/<record_id>/_history/<version_id>")
@require("r")
def read_version(resource_type: str, record_id: str, version_id: str) -> Response:
    return _answer(resource_type, record_id, version_number(version_id))


def version_number(version_id: str) -> int:
    """Raises NotFound for what is no version id of ours."""
    if not _VERSION.fullmatch(version_id):
        raise NotFound("the resource has no such version")
    return int(version_id)


def _answer(resource_type: str, record_id: str, version: int | None) -> Response:
    check_type(resource_type)
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    reader = caller().party
    purpose = stated_purpose(reader)
    reference = f"{resource_type}/{record_id}"
    if request.if_none_match:
        # The place says the version, so a record that the client has is not opened.
        at = disclosure.locate(services(), reader, resource_type, record_id, version, purpose=purpose)
        if not at.deleted and request.if_none_match.contains_weak(str(at.version)):
            return _described(Response(status=304), reference, at.version, at.updated_ms)
    record = disclosure.read(services(), reader, resource_type, record_id, version, purpose=purpose)
    answer = name_accesses(Response(record.body, 200, content_type=FHIR_JSON), record.accesses)
    return _described(answer, reference, record.version, record.updated_ms)


def _described(answer: Response, reference: str, version: int, updated_ms: int) -> Response:
    answer.headers["Cache-Control"] = _OURS_ALONE
    return describe(answer, reference, version, updated_ms)
