"""Every command of the README's sessions, run in order by a shell as a newcomer would, prints what the README shows.

Ids, times, sizes and heights of blocks differ from run to run. An id that a command printed stands, in later commands, for the one that the
README shows in its place. A line `...` stands for any lines.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
_ID = r"\b[0-9a-f]{8,64}\b"
_DIFFERS = re.compile(
    rf"(?P<id>{_ID})|\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)|\d+\.\d+(?= s\b|$)|(?<=block )\d+|[\d,]+(?=  (?:blocks|transactions|container bytes)$)"
)


def _sessions(text):
    """(command, lines that it prints) in order."""
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def _mask(line):
    """The line with what differs blanked out, each as wide as nothing, and runs of spaces as one: columns shift with what is in them."""
    return re.sub(r" +", " ", _DIFFERS.sub("#", line.rstrip()))


def _matched(shown, printed):
    """Pairs of lines of what is shown and what was printed; AssertionError where they do not agree."""
    pairs, rest = [], list(printed)
    skipping = False
    for line in shown:
        if line == "...":
            skipping = True
            continue
        while skipping and rest and _mask(rest[0]) != _mask(line):
            rest.pop(0)
        assert rest, f"not printed: {line}"
        assert _mask(rest[0]) == _mask(line)
        pairs.append((line, rest.pop(0)))
        skipping = False
    assert skipping or rest == []
    return pairs


def _ids(line):
    return [match["id"] for match in _DIFFERS.finditer(line) if match["id"]]


class Shell:
    """Runs one command after the other in a folder that looks like the project's."""

    def __init__(self, folder):
        self.folder, self.exported, self.served, self.known = folder, "", None, {}
        (folder / ".venv").mkdir()
        (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
        for name in ("gateway", "examples"):
            (folder / name).symlink_to(ROOT / name)
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = str(free.getsockname()[1])
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "FHIR_ANCHOR_BASE_URL": f"http://127.0.0.1:{self.port}",
        }

    def run(self, command):
        """What it prints, in lines, with the README's port."""
        if command.startswith("export "):
            self.exported += f"{command}\n"
            return []
        if command == "kill %1":
            return self.stop()
        for shown, real in self.known.items():
            command = command.replace(shown, real)
        command = command.replace("8080", self.port)
        if command.endswith("&"):
            self.served = self._start(f"exec {command[:-1]}")
            return [self.served.stdout.readline().replace(self.port, "8080")]
        process = self._start(command)
        printed, _ = process.communicate(timeout=120)
        return printed.replace(self.port, "8080").splitlines()

    def stop(self):
        if self.served is not None and self.served.poll() is None:
            os.killpg(self.served.pid, signal.SIGTERM)
            assert self.served.wait(60) == 0
            self.served.stdout.close()
        return []

    def learn(self, pairs):
        """Which id stands for which: by their places in lines that agree."""
        for shown, printed in pairs:
            self.known.update(zip(_ids(shown), _ids(printed), strict=True))

    def _start(self, command):
        return subprocess.Popen(
            ["bash", "-c", self.exported + command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def shell(tmp_path):
    if not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("the README's session needs bash and curl")
    made = Shell(tmp_path)
    yield made
    made.stop()


def test_the_sessions_print_what_the_readme_shows(shell):
    steps = _sessions(README)
    assert len(steps) > 15
    for command, shown in steps:
        if command.startswith("node ") and shutil.which("node", path=shell.environment["PATH"]) is None:
            continue  # the one command of another program's
        printed = shell.run(command)
        try:
            shell.learn(_matched(shown, printed))
        except AssertionError as error:
            pytest.fail(f"$ {command}\n" + "\n".join(printed) + f"\n{error}")


def test_make_has_every_target_that_is_named():
    named = set(re.findall(r"\bmake (\w+)", README)) - {"and"}
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "bench"} <= named <= targets


def test_the_readme_is_short_enough_to_be_read():
    assert len(README.splitlines()) < 250


@pytest.mark.parametrize(
    ("shown", "printed", "agrees"),
    [
        (["a 0123456789ab b"], ["a ffffffffffff b"], True),
        (["a 0123456789ab b"], ["a ffffffffffff c"], False),
        (["one", "...", "four"], ["one", "two", "three", "four"], True),
        (["one", "...", "four"], ["one", "two", "three"], False),
        (["one", "..."], ["one"], True),
        (["one"], ["one", "two"], False),
        (["1 resource in 1 page, 0.134 s"], ["1 resource in 1 page, 12.1 s"], True),
        (["1 resource in 1 page, 0.134 s"], ["2 resource in 1 page, 0.134 s"], False),
        (["checked            6  blocks"], ["checked           17  blocks"], True),
        (["checked           13  records"], ["checked           12  records"], False),
    ],
)
def test_lines_agree_but_for_what_differs(shown, printed, agrees):
    if agrees:
        _matched(shown, printed)
    else:
        with pytest.raises(AssertionError):
            _matched(shown, printed)
