"""Commands that are stopped in the middle, and names of files that nobody would choose."""

import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial

import pytest

from gateway.client.credentials import new_credentials, write
from gateway.commands.context import printable, tell


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.campaign)])
def test_a_command_that_is_stopped_says_that_it_was_not_done(tmp_path, number):
    """Nothing is told of it but a sentence, and not with the exit code of findings."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        write(tmp_path / "hospital.json", new_credentials(f"http://127.0.0.1:{silent.getsockname()[1]}", "hospital-00000001"))
        (tmp_path / "patient.json").write_text("{}")
        command = [sys.executable, "-m", "gateway", "push", "--as", "hospital.json", "patient.json"]
        heeded = partial(
            signal.signal, number, signal.SIG_DFL
        )  # whoever runs the tests may have it ignored, as in the background of a shell
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=heeded)  # noqa: PLW1509 - one thread
        connection, _ = silent.accept()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        connection.close()
    assert (process.returncode, out, err) == (2, b"", b"fhir-anchor: stopped before it was done\n")


def test_a_file_whose_name_is_no_text_is_named_all_the_same(capsys):
    name = os.fsdecode(b"/\x1b[31m\xff.json")
    tell({"file": name}, as_json=True, text=str)
    assert json.loads(capsys.readouterr().out) == {"file": name}
    assert "\x1b" not in printable(name)
