"""A real delegate for tests: `fhir-anchor delegate` as a process with its own folder, key and copy of the chain."""

import json
import subprocess
import sys

from gateway_process import _environment

WITHIN = 90  # seconds; the machine may be busy


class DelegateProcess:
    def __init__(self, folder, name):
        self.home, self.key, self.out = folder / name, folder / f"{name}.json", folder / f"{name}.out"
        self.public = json.loads(self.run("key", "--out", self.key, "--name", name, "--json"))["public"]
        self.process = None

    def run(self, *args, expect=0):
        command = [sys.executable, "-m", "gateway", "delegate", *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(), timeout=WITHIN)
        assert done.returncode == expect, done.stderr + done.stdout
        return done.stdout

    def start(self, url, *more):
        args = ["--key", self.key, "--gateway", url, "--home", self.home, "--json", *more]
        command = [sys.executable, "-m", "gateway", "delegate", *map(str, args)]
        with self.out.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=_environment())

    def said(self, event):
        lines = self.out.read_text().splitlines() if self.out.exists() else []
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [one for one in told if one["event"] == event]

    def end(self, number):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(WITHIN)
