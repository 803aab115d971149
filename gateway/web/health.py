"""GET /livez and /readyz: for whoever starts, restarts or balances this service. They say which part is missing, never why in detail."""

from collections.abc import Callable, Mapping

import msgspec
import structlog
from flask import Blueprint, Response

from gateway.heartbeat import is_beating
from gateway.index.database import Index
from gateway.storage.port import ObjectMissing, ObjectStore
from gateway.web.authorization import public
from gateway.web.request_context import ledger, services

_NO_CONTAINER = f"00/{'0' * 64}.container"  # a name that no digest has

health = Blueprint("health", __name__)


@health.get("/livez")
@public
def livez() -> Response:
    """A worker answers."""
    return _answer(200, {"alive": True})


@health.get("/readyz")
@public
def readyz() -> Response:
    """All that a submission needs is there: database, bucket, ledger, jobs process."""
    checks: Mapping[str, Callable[[], object]] = {
        "database": lambda: _database(services().index),
        "bucket": lambda: _bucket(services().store),
        "ledger": lambda: ledger().head(),
        "jobs": lambda: is_beating(services().settings.home, services().clock()),
    }
    found = {name: _holds(name, check) for name, check in checks.items()}
    ready = all(found.values())
    answer = _answer(200 if ready else 503, {"ready": ready, **found})
    if not ready:
        answer.headers["Retry-After"] = "1"
    return answer


def _holds(name: str, check: Callable[[], object]) -> bool:
    try:
        return check() is not False
    except Exception as error:  # whatever it is, this part cannot be used now, and the others are still to be asked
        structlog.get_logger().warning("not ready", part=name, exc_info=error)
        return False


def _database(index: Index) -> None:
    with index.reading() as connection:
        connection.exec_driver_sql("SELECT 1").one()


def _bucket(store: ObjectStore) -> None:
    try:
        store.get_range(_NO_CONTAINER, 0, 1)
    except ObjectMissing:
        return


def _answer(status: int, told: object) -> Response:
    return Response(msgspec.json.encode(told), status, content_type="application/json")
