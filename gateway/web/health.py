"""GET /livez and /readyz: for whoever starts, restarts or balances this service."""

import msgspec
from flask import Blueprint, Response, current_app

from gateway.readiness import PARTS, Readiness
from gateway.web.authorization import probe

health = Blueprint("health", __name__)


@health.get("/livez")
@probe
def livez() -> Response:
    """A worker answers."""
    return _answer(200, {"alive": True})


@health.get("/readyz")
@probe
def readyz() -> Response:
    """Each part by name: whether all that a submission needs is there; `reasons` says of each part that is not what is the matter."""
    readiness: Readiness = current_app.extensions["readiness"]
    missing = readiness.missing()
    told: dict[str, object] = {"ready": not missing, **{part: part not in missing for part in PARTS}}
    if not missing:
        return _answer(200, told)
    answer = _answer(503, {**told, "reasons": missing})
    answer.headers["Retry-After"] = "1"
    return answer


def _answer(status: int, told: object) -> Response:
    return Response(msgspec.json.encode(told), status, content_type="application/json")
