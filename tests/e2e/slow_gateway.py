"""A small application served as the gateway is, for tests of the processes: python slow_gateway.py HOME HOST PORT JOBS(run|fail|late-worker)."""

import os
import signal
import sys
import time
from pathlib import Path

from flask import Flask

from gateway.heartbeat import is_beating
from gateway.serving import CouldNotServe, serve_app
from gateway.supervisor import signals_as_bytes
from gateway.web import server

HOME, HOST, PORT, JOBS = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]


class LateWorker(server._Worker):
    """The second worker is slow to get from its fork to its handlers, as on a busy machine."""

    def init_process(self):
        if self.age == 2:
            (HOME / "late-forked").touch()
            time.sleep(1.5)
        super().init_process()


def make_app():
    app = Flask("slow", static_folder=None)

    @app.get("/readyz")
    def readyz():
        return "", 200 if is_beating(HOME, time.time()) else 503

    @app.get("/slow")
    def slow():
        (HOME / "slow-begun").touch()
        time.sleep(1.5)
        return "finished"

    @app.get("/large")
    def large():
        (HOME / "large-begun").touch()
        return bytes(16 << 20)

    @app.get("/who")
    def who():
        return f"{os.getpid()} {os.getppid()}"

    @app.get("/broken")
    def broken():
        raise ValueError("Mustermann")

    return app


def run_jobs():
    if JOBS == "fail":
        raise ValueError("Mustermann")
    with signals_as_bytes((signal.SIGTERM,)) as heard:
        (HOME / "jobs-pid").write_text(str(os.getpid()))
        heard.recv(1)
        (HOME / "jobs-stopped").touch()


server.TAKEN_WITHIN = 1.0
if JOBS == "late-worker":
    server._Worker = LateWorker
try:
    serve_app(HOME, HOST, PORT, 2, make_app=make_app, run_jobs=run_jobs, warm=lambda: None)
except CouldNotServe as error:
    sys.exit(f"could not serve: {error}")
