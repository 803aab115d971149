"""`serve`: one parent, gunicorn with its workers, one jobs process; a home is served once at a time.

The parent binds the port before it forks, so that a port in use is known at once and a restart of the workers loses no connection.
What the children need (models, databases, keys) they open themselves, after the fork.
"""

import errno
import fcntl
import http.client
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway import heartbeat, tenure
from gateway.logs import configure_logs, logger
from gateway.metrics import FOLDER_VARIABLE
from gateway.settings import BadSetting, Settings
from gateway.supervisor import Child, GaveUp, Supervisor, fork

if TYPE_CHECKING:
    from flask import Flask

_Result = TypeVar("_Result")

GRACE = 15  # seconds that running requests get after a stop was asked for
_READY_WITHIN = 120.0  # seconds; importing the models on a cold disk takes ten
_LOCK_FILE = "serve.lock"
_METRICS_FOLDER = "metrics"
_DID_NOT_START = 3  # gunicorn takes this exit code of a worker as final, and stops


class CouldNotServe(Exception):
    """The gateway did not start, or could not be kept running; the text is for the operator. Exit code 2."""


def serve(settings: Settings, host: str, port: int, workers: int, run_jobs: Callable[[Settings], None]) -> None:
    """Serve the gateway of `settings` until it is told to stop; returns when every process is gone. Raises CouldNotServe.

    Prints one line on stdout when `/readyz` answers 200. `run_jobs` is the whole of the jobs process; it returns after SIGTERM.
    """
    make_app = partial(_in_words, "web", partial(_make_app, settings))
    jobs = partial(_in_words, "jobs", partial(run_jobs, settings))
    _take_turn(settings)
    metrics = None if settings.metrics_address is None else MetricsProcess(*settings.metrics_address, partial(_serve_metrics, settings))
    serve_app(settings.home, host, port, workers, make_app=make_app, run_jobs=jobs, warm=_warm, metrics=metrics)


def serve_app(
    home: Path,
    host: str,
    port: int,
    workers: int,
    *,
    make_app: Callable[[], "Flask"],
    run_jobs: Callable[[], None],
    warm: Callable[[], None],
    metrics: "MetricsProcess | None" = None,
) -> None:
    """The same for any application: `warm` runs once before the workers are forked, `make_app` once in each of them."""
    configure_logs()
    with the_only_one(home), ExitStack() as open_:
        listener = open_.enter_context(closing(_listen(host, port)))
        at = listener.getsockname()[:2]
        heartbeat.clear(home)
        tenure.clear(home)
        children = [
            Child("web", partial(_web, listener, workers, make_app, warm, os.getpid())),
            Child("jobs", partial(_jobs, listener, home, run_jobs, os.getpid())),
        ]
        os.environ.pop(FOLDER_VARIABLE, None)
        if metrics is not None:
            asked = open_.enter_context(closing(_listen(metrics.host, metrics.port, "--metrics-address")))
            os.environ[FOLDER_VARIABLE] = str(_emptied(home / _METRICS_FOLDER))
            children.append(Child("metrics", partial(_metrics, listener, asked, metrics.run, os.getpid())))
        supervisor = Supervisor(
            children,
            is_ready=partial(_answers, host, at[1]),
            on_ready=partial(print, f"fhir-anchor is ready at http://{_shown(host)}:{at[1]}", flush=True),
            ready_within=_READY_WITHIN,
            grace=GRACE + 3,
        )
        try:
            supervisor.run()
        except GaveUp as error:
            raise CouldNotServe(str(error)) from error


@dataclass(frozen=True, slots=True)
class MetricsProcess:
    """Where metrics are served, and how: `run(folder, listener, parent)` is the whole of the metrics process."""

    host: str
    port: int
    run: Callable[[Path, socket.socket, int], None]


def _in_words(process: str, run: Callable[[], _Result]) -> _Result:
    """`run()`; what it cannot do for the operator's reasons is logged in the words meant for the operator, where all else is a type."""
    from chain.errors import LedgerError
    from gateway.errors import GatewayError
    from gateway.key_files import KeyFileUnusable

    try:
        return run()
    except (BadSetting, GatewayError, KeyFileUnusable, LedgerError) as error:
        logger().error(str(error), process=process)
        sys.exit(_DID_NOT_START)


def _take_turn(settings: Settings) -> None:
    """Before anything can be written: raises CouldNotServe where this home is an older copy, or another one took over.

    A child looks, so that this process, the parent of all others, holds no keys. What it imports the others need as well: once, here.
    """
    import jobs.older_copy
    import jobs.registry  # noqa: F401

    said, saying = os.pipe()
    child = fork(partial(_look_whose_turn, settings, saying))
    os.close(saying)
    with os.fdopen(said) as pipe:
        reason = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise CouldNotServe(reason or "whether this home may be served could not be looked at")


def _look_whose_turn(settings: Settings, saying: int) -> None:
    from chain.errors import LedgerError
    from gateway.bootstrap import keyring_of, verify_version
    from gateway.errors import GatewayError
    from jobs.older_copy import refuse_older_copy
    from jobs.registry import opened_for

    try:
        with opened_for(settings) as opened:
            verify_version(settings, opened.index)
            refuse_older_copy(opened.ledger, opened.index)
            tenure.tenure_of(opened.index, keyring_of(settings), opened.store).take(int(time.time()))
    except (BadSetting, GatewayError, LedgerError, ValueError, OSError) as error:
        os.write(saying, str(error).encode(errors="backslashreplace"))
        sys.exit(_DID_NOT_START)


def _make_app(settings: Settings) -> "Flask":
    """The application of one worker."""
    from chain.ledger import Ledger
    from gateway.bootstrap import open_services, read_genesis
    from gateway.metrics import of_this_process
    from gateway.storage.packs import object_reader
    from gateway.web.app import create_app

    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings), object_reader(settings.effective_bucket_url))
    return create_app(open_services(settings, metrics=of_this_process()), ledger)


def _warm() -> None:
    """Import and compile what every worker needs, once, so that they share its memory."""
    import gateway.bootstrap
    import gateway.web.app  # noqa: F401
    from fhir_adapters.definitions import RESOURCE_TYPES
    from fhir_adapters.resource import warm

    warm(RESOURCE_TYPES)


def _web(listener: socket.socket, workers: int, make_app: Callable[[], "Flask"], warm: Callable[[], None], parent: int) -> None:
    from gateway.web.server import run_server

    run_server(listener, workers=workers, make_app=make_app, warm=warm, parent=parent, grace=GRACE)


def _jobs(listener: socket.socket, home: Path, run_jobs: Callable[[], None], parent: int) -> None:
    listener.close()
    threading.Thread(target=_live_with, args=(parent, home), daemon=True).start()
    run_jobs()


def _live_with(parent: int, home: Path) -> None:
    """Beat twice a second; when the parent is gone, stop as if it had said so, and soon in any case.

    The first beat is late, so that a process which fails at its start has not called the gateway ready.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
        with suppress(OSError):  # a full disk must not end the watch over the parent
            heartbeat.beat(home)
    logger().error("the parent process is gone; stopping", process="jobs")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def _metrics(web: socket.socket, listener: socket.socket, run: Callable[[Path, socket.socket, int], None], parent: int) -> None:
    web.close()
    run(Path(os.environ[FOLDER_VARIABLE]), listener, parent)


def _serve_metrics(settings: Settings, folder: Path, listener: socket.socket, parent: int) -> None:
    from gateway.metrics_server import serve_metrics

    _in_words("metrics", partial(serve_metrics, settings, folder, listener, parent))


def _emptied(folder: Path) -> Path:
    """Counts of an earlier run would be added to those of this one. Raises CouldNotServe."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise CouldNotServe(f"{folder} cannot be emptied, and the metrics need it: {error.strerror}") from error
    return folder


def _listen(host: str, port: int, option: str = "--host") -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024)
    except socket.gaierror as error:
        raise CouldNotServe(f"{option} {host!r} is no address of this machine") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CouldNotServe(
                f"port {port} on {host} is in use by another program; choose another with {'--port' if option == '--host' else option}"
            ) from error
        raise CouldNotServe(f"port {port} on {host} cannot be used: {os.strerror(error.errno or 0)}") from error


@contextmanager
def the_only_one(home: Path) -> Iterator[None]:
    """Hold the home's lock. The children share it, so it is free only when the last of them is gone, however the parent ended."""
    with (home / _LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise CouldNotServe(f"{home} is already served by process {lock.read().strip() or '(unknown)'}; stop that one first") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _answers(host: str, port: int) -> bool:
    """Whether /readyz says 200, asked from this machine."""
    connection = http.client.HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=2)  # noqa: S104 - not a bind
    with closing(connection):
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
