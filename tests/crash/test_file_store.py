"""`kill -9` during puts: under final names there are whole objects only, and every one that was acknowledged."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from gateway.errors import Unavailable
from gateway.storage.file_store import FileObjectStore

WRITER = """
import hashlib, os, sys
from pathlib import Path
from gateway.storage.file_store import FileObjectStore
store = FileObjectStore(Path(sys.argv[1]))
while True:
    body = os.urandom(200_000)
    name = hashlib.sha256(body).hexdigest()
    store.put_if_absent(f"{name[:1]}/{name}", body)
    os.write(1, name.encode() + b"\\n")
"""


@pytest.mark.parametrize("after", [0.05, 0.13, 0.3])
def test_a_kill_leaves_whole_objects_only(tmp_path, after):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        first = writer.stdout.readline()  # it is under way
        time.sleep(after)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
    acknowledged = first.split() + [line for line in writer.stdout.read().splitlines() if len(line) == 64]
    writer.wait()
    writer.stdout.close()
    store = FileObjectStore(tmp_path)
    stored = {found.name.partition("/")[2]: found for found in store.list()}
    for digest, found in stored.items():
        assert hashlib.sha256(store.get(found.name)).hexdigest() == digest
    assert {name.decode() for name in acknowledged} <= set(stored)
    assert len(stored) <= len(acknowledged) + 1
    left_over = len(list((tmp_path / ".tmp").iterdir()))
    assert left_over <= 1
    assert store.remove_left_overs(older_than=0, now=int(time.time()) + 10) == left_over
    body = store.get(next(iter(store.list())).name)
    assert body  # the store goes on


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with room for 256 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_refuses_for_now_and_keeps_nothing(small_disk):
    store = FileObjectStore(small_disk)
    store.put_if_absent("a/first", bytes(100_000))
    store.check_writable()
    with pytest.raises(Unavailable, match="the disk is full"):
        store.put_if_absent("a/second", bytes(300_000))
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(128_000))
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as more:
        while more.write(bytes(4096)):
            pass
    with pytest.raises(Unavailable, match="the disk is full"):
        store.check_writable()
    ballast.unlink()
    assert list((small_disk / ".tmp").iterdir()) == []
    store.check_writable()
    store.put_if_absent("a/second", bytes(100_000))
    assert [found.name for found in store.list()] == ["a/first", "a/second"]
