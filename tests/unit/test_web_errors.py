import io
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from chain.database import LedgerDamaged, LedgerUnreachable
from fhir_adapters.issue import InvalidInput, Issue
from gateway import errors
from gateway.logs import GunicornLog, configure_logs
from gateway.metrics import Metrics
from gateway.web.app import create_app
from gateway.web.authorization import public
from gateway.web.errors import TooManyRequests
from gateway.web.media_type import NotAcceptable

SECRET = "Erika Mustermann"  # stands for what must not leave: in paths, queries, error texts


@pytest.fixture
def log():
    stream = io.StringIO()
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logs(stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def client_raising(error):
    services = SimpleNamespace(settings=SimpleNamespace(base_url=None, home=Path("nowhere")), store=None, clock=None, metrics=Metrics())
    app = create_app(services, None)

    @public
    def view(what):
        if error is not None:
            raise error
        return what

    app.add_url_rule("/fhir/test/<what>", view_func=view)
    return app.test_client()


def ask(error, path=f"/fhir/test/{SECRET}?name={SECRET}", **kwargs):
    return client_raising(error).get(path, **kwargs)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Unauthorized("sign in"), 401, "login"),
        (errors.Unauthorized("old", code="expired"), 401, "expired"),
        (errors.Forbidden("no"), 403, "forbidden"),
        (errors.NotFound("none"), 404, "not-found"),
        (errors.Gone("gone"), 410, "deleted"),
        (errors.Conflict("changed"), 409, "conflict"),
        (errors.PreconditionFailed("stale"), 412, "conflict"),
        (errors.PreconditionFailed("many", code="multiple-matches"), 412, "multiple-matches"),
        (errors.TooLarge("big"), 413, "too-long"),
        (errors.UnsupportedMedia("xml"), 415, "not-supported"),
        (NotAcceptable("xml"), 406, "not-supported"),
        (errors.NotSupported("later"), 501, "not-supported"),
        (errors.Unavailable("disk"), 503, "transient"),
        (LedgerUnreachable("locked"), 503, "transient"),
        (LedgerDamaged("pack 1 is not what was written"), 500, "exception"),
        (TooManyRequests("slowly", retry_after=7), 429, "throttled"),
        (InvalidInput([Issue("structure", "broken")], unreadable=True), 400, "structure"),
        (InvalidInput([Issue("value", "wrong", "Patient.gender")]), 422, "value"),
    ],
)
def test_each_error_has_its_status_and_outcome(error, status, code):
    answer = ask(error)
    assert answer.status_code == status
    assert answer.content_type == "application/fhir+json"
    assert answer.json["resourceType"] == "OperationOutcome"
    assert answer.json["issue"][0]["code"] == code


def test_all_faults_are_in_one_outcome():
    answer = ask(InvalidInput([Issue("value", "wrong", "Patient.gender"), Issue("required", "missing", "Patient.link[0].other")]))
    assert [issue["expression"] for issue in answer.json["issue"]] == [["Patient.gender"], ["Patient.link[0].other"]]


def test_headers_say_what_to_do_next():
    assert ask(errors.Unavailable("disk", retry_after=9)).headers["Retry-After"] == "9"
    assert ask(TooManyRequests("slowly", retry_after=7)).headers["Retry-After"] == "7"
    assert ask(errors.Unauthorized("x")).headers["WWW-Authenticate"] == 'Bearer realm="fhir-anchor"'
    assert 'error="invalid_token"' in ask(errors.Unauthorized("x"), headers={"Authorization": "Bearer y"}).headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/fhir/test/a/b/c", "/nowhere", "/.env", "//fhir/test/x"])
def test_unknown_addresses_are_404_with_an_outcome(path):
    answer = client_raising(None).get(path)
    assert answer.status_code == 404
    assert answer.json["issue"][0]["code"] == "not-found"


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_405_and_names_those_that_are(method):
    answer = client_raising(None).open("/fhir/test/x", method=method)
    assert answer.status_code == 405
    assert answer.json["issue"][0]["code"] == "not-supported"
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, PUT"


def test_an_unexpected_error_says_its_request_id_and_nothing_else(log):
    answer = ask(ValueError(SECRET), headers={"X-Request-Id": "abcd-1234"})
    assert answer.status_code == 500
    assert "abcd-1234" in answer.json["issue"][0]["diagnostics"]
    assert answer.headers["X-Request-Id"] == "abcd-1234"
    assert SECRET not in answer.text
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    error = next(line for line in lines if line["level"] == "error")
    assert (error["error"], error["request_id"]) == ("ValueError", "abcd-1234")
    assert any("test_web_errors.py" in place for place in error["places"])
    assert SECRET not in log.getvalue()


def test_the_access_line_has_the_route_and_not_the_path(log):
    answer = ask(None)
    line = json.loads(log.getvalue().splitlines()[-1])
    assert {name: line[name] for name in ("event", "method", "route", "status")} == {
        "event": "request",
        "method": "GET",
        "route": "/fhir/test/<what>",
        "status": 200,
    }
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert line["ms"] >= 0
    assert SECRET not in log.getvalue()


def test_an_unknown_path_and_method_are_not_logged(log):
    client_raising(None).open(f"/{SECRET}", method="ERIKA")
    line = json.loads(log.getvalue().splitlines()[-1])
    assert (line["route"], line["method"]) == ("(none)", "(other)")
    assert "rika" not in log.getvalue().lower()


def test_what_libraries_log_keeps_its_wording_and_loses_its_arguments(log):
    logging.getLogger("sqlalchemy").warning("row %s is odd", SECRET)
    formatted_before = f"row {SECRET} is odd"
    logging.getLogger("somewhere").warning(formatted_before)
    logging.getLogger("apscheduler.executors").warning("job %s is late", "produce_blocks")
    GunicornLog(None).error("Worker (pid:%s) was sent %s by %s!", 7, "SIGKILL", SECRET)
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert events == ["row %s is odd", "(text withheld)", "job produce_blocks is late", "Worker (pid:7) was sent SIGKILL by ...!"]


def test_causes_are_logged_by_type(log):
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise errors.Unavailable(SECRET) from error
    except errors.Unavailable:
        structlog.get_logger().error("failed", exc_info=True)
    line = json.loads(log.getvalue())
    assert (line["error"], line["cause"]) == ("Unavailable", "KeyError")
    assert SECRET not in log.getvalue()
