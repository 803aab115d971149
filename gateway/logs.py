"""Logs: one JSON object a line on stderr, for machines to read.

What may stand in a line is decided here, not where it is written: ids, counts, durations, names of types and of routes. Never a path,
a query string, a header, a body, or the text of an unexpected error: any of them may carry what a patient would not want read.
So an exception is logged as its type and the places it passed, and what libraries log keeps its wording but not its arguments.
"""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import msgspec

# Libraries whose arguments are process ids, job names and times: APScheduler's say which job is late.
_TRUSTED = ("apscheduler",)


def configure_logs(stream: TextIO | None = None) -> None:
    """Every logger of this process, structlog's and the standard library's, writes JSON lines to `stream` (stderr)."""
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _without_messages,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(logging.WARNING)


def logger() -> Any:
    """Structlog's. It is imported when something is to be logged, which commands seldom do: it brings half a hundred modules of rich."""
    import structlog

    return structlog.get_logger()


def places(error: BaseException) -> list[str]:
    """Where `error` passed, outermost first, as `module:line function`; nothing of its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{'/'.join(f.filename.split('/')[-2:])}:{f.lineno} {f.name}" for f in frames]


def _without_messages(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """`exc_info` becomes the types of the error and its causes and where it passed."""
    given = event.pop("exc_info", None)
    error = sys.exception() if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["places"] = places(error)
        cause = error.__cause__ or error.__context__
        if cause is not None:
            event["cause"], event["cause_places"] = type(cause).__name__, places(cause)
    return event


def _to_json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=lambda value: type(value).__name__).decode()


class _ToStructlog(logging.Handler):
    """What libraries log through `logging` comes out in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        trusted = record.name.startswith(_TRUSTED)
        wording = record.getMessage() if trusted else record.msg if isinstance(record.msg, str) and record.args else "(text withheld)"
        error = record.exc_info[1] if record.exc_info else None
        logger().log(record.levelno, wording, logger=record.name, **({"exc_info": error} if error else {}))


class GunicornLog:
    """gunicorn's logger: its messages on the life of processes come through, with numbers and signal names but no other argument.

    There is no access line here: the application writes it, which knows the route and the client.
    """

    def __init__(self, _config: object) -> None:
        self._log = logger().bind(logger="gunicorn")

    def _write(self, level: int, message: object, arguments: tuple[object, ...], *, exc_info: object = None) -> None:
        safe = tuple(a if isinstance(a, int) or str(a).startswith("SIG") else "..." for a in arguments)
        try:
            text = str(message) % safe if safe else str(message)
        except (TypeError, ValueError):
            text = str(message)
        self._log.log(level, text, **({"exc_info": exc_info} if exc_info else {}))

    def critical(self, message: object, *arguments: object, **_: object) -> None:
        self._write(logging.CRITICAL, message, arguments)

    def error(self, message: object, *arguments: object, **options: object) -> None:
        self._write(logging.ERROR, message, arguments, exc_info=options.get("exc_info"))

    def warning(self, message: object, *arguments: object, **_: object) -> None:
        self._write(logging.WARNING, message, arguments)

    def info(self, message: object, *arguments: object, **_: object) -> None:
        """Its steps of starting and stopping are not the operator's business; failures come as warnings and errors."""

    debug = info

    def exception(self, message: object, *arguments: object, **_: object) -> None:
        self._write(logging.ERROR, message, arguments, exc_info=True)

    def access(self, *_: object) -> None:
        """Written by the application."""

    def reopen_files(self) -> None:
        """There are no files: lines go to stderr."""

    def close_on_exec(self) -> None:
        """There are no files: lines go to stderr."""


def log_uncaught(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """`sys.excepthook` of a served process: a JSON line, not a traceback."""
    if not issubclass(kind, KeyboardInterrupt):
        logger().error("stopped by an unexpected error", exc_info=error)
