"""What is particular to the store of files: durability in the order of system calls, and what a file system refuses."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import Unavailable
from gateway.storage.file_store import FileObjectStore
from gateway.storage.port import ObjectExists


@pytest.fixture
def bucket(tmp_path):
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


def test_objects_are_files_for_their_owner_alone_and_nothing_is_left_over(bucket):
    store = FileObjectStore(bucket)
    store.put_if_absent("ab/one", b"x")
    with pytest.raises(ObjectExists):
        store.put_if_absent("ab/one", b"y")
    assert stat.S_IMODE((bucket / "ab/one").stat().st_mode) == 0o600
    assert (bucket / "ab/one").stat().st_nlink == 1
    assert list((bucket / ".tmp").iterdir()) == []
    assert [found.name for found in store.list()] == ["ab/one"]


def test_a_bucket_that_is_not_there_is_unavailable_not_empty(tmp_path):
    store = FileObjectStore(tmp_path / "unmounted")
    for use in (
        lambda: store.get("a"),
        lambda: store.get_range("a", 0, 1),
        lambda: list(store.list()),
        lambda: store.put_if_absent("a", b""),
        lambda: store.delete("a"),
        store.check_writable,
    ):
        with pytest.raises(Unavailable):
            use()
    assert not (tmp_path / "unmounted").exists()


def folder_of(handle, bucket):
    return str(Path(f"/proc/self/fd/{handle}").readlink()).removeprefix(str(bucket))


def test_file_and_folders_are_synced_before_it_returns(bucket, monkeypatch):
    """The order that durability needs, seen from outside: folders made, then the file, then the folder that now names it."""
    synced = []
    real = os.fsync

    def recording(handle):
        synced.append(folder_of(handle, bucket))
        real(handle)

    monkeypatch.setattr(os, "fsync", recording)
    FileObjectStore(bucket).put_if_absent("ab/cd/one", b"x")
    assert synced[:3] == ["", "", "/ab"]
    assert synced[3].startswith("/.tmp/")
    assert synced[4:] == ["/ab/cd"]


def test_the_loser_of_a_race_syncs_the_folder_too(bucket, monkeypatch):
    """Its caller takes `ObjectExists` for stored; the winner may not have synced yet."""
    FileObjectStore(bucket).put_if_absent("ab/one", b"x")
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(folder_of(handle, bucket)))
    with pytest.raises(ObjectExists):
        FileObjectStore(bucket).put_if_absent("ab/one", b"x")
    assert synced[-1] == "/ab"
    assert "" in synced


def test_a_full_disk_is_unavailable_and_leaves_nothing(bucket):
    """A real limit on file size stands for the full disk: the write itself fails half-way."""
    program = """
import resource, signal, sys
from pathlib import Path
from gateway.errors import Unavailable
from gateway.storage.file_store import FileObjectStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    FileObjectStore(Path(sys.argv[1])).put_if_absent("ab/one", bytes(5000))
except Unavailable as refusal:
    print(refusal)
"""
    done = subprocess.run([sys.executable, "-c", program, str(bucket)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("storage: ")
    assert str(bucket) not in done.stdout
    assert [path for path in bucket.rglob("*") if path.is_file()] == []


def test_what_the_file_system_refuses_is_unavailable_with_its_reason(bucket, monkeypatch):
    def refuse(*_args):
        raise OSError(errno.ENOSPC, "No space left on device", str(bucket))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(Unavailable, match="disk is full") as refusal:
        FileObjectStore(bucket).put_if_absent("ab/one", b"x")
    assert str(bucket) not in str(refusal.value)
    assert [path for path in bucket.rglob("*") if path.is_file()] == []


def test_a_sync_that_fails_is_not_an_acknowledgement(bucket, monkeypatch):
    def refuse(_handle):
        raise OSError(errno.EIO, "Input/output error")

    store = FileObjectStore(bucket)
    store.put_if_absent("ab/zero", b"x")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(Unavailable):
        store.put_if_absent("ab/one", b"x")


def test_a_folder_in_the_way_is_unavailable_not_missing(bucket):
    (bucket / "ab").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable):
        FileObjectStore(bucket).put_if_absent("ab/one", b"x")


def test_left_overs_go_after_their_grace_and_younger_ones_stay(bucket):
    store = FileObjectStore(bucket)
    assert store.remove_left_overs(older_than=60, now=1_790_000_000) == 0
    store.put_if_absent("ab/one", b"x")
    for name, age in (("old", 100), ("young", 10)):
        (bucket / ".tmp" / name).write_bytes(b"half")
        os.utime(bucket / ".tmp" / name, (1_790_000_000 - age,) * 2)
    assert [found.name for found in store.list()] == ["ab/one"]
    assert store.remove_left_overs(older_than=60, now=1_790_000_000) == 1
    assert [path.name for path in (bucket / ".tmp").iterdir()] == ["young"]
    assert store.get("ab/one") == b"x"


def test_lists_are_lazy(bucket):
    store = FileObjectStore(bucket)
    for shard in ("aa", "bb"):
        store.put_if_absent(f"{shard}/x", b"")
    names = store.list()
    assert next(names).name == "aa/x"
    store.put_if_absent("bb/y", b"")  # a folder not read yet
    assert [found.name for found in names] == ["bb/x", "bb/y"]
