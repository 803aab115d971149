"""The contract of `gateway.storage.port.ObjectStore`, for every store; then what is particular to one."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from simulator import SimulatedObjectStore

from gateway.errors import Unavailable
from gateway.storage.file_store import FileObjectStore
from gateway.storage.opening import open_object_store
from gateway.storage.port import ObjectExists, ObjectMissing


@pytest.fixture(params=["file", "simulated"])
def store(request, tmp_path):
    return FileObjectStore(tmp_path) if request.param == "file" else SimulatedObjectStore()


@pytest.fixture
def bucket(tmp_path):
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


# --- the contract


def test_what_is_put_is_got(store):
    store.put_if_absent("ab/one", b"body")
    assert store.get("ab/one") == b"body"


def test_an_empty_object_is_an_object(store):
    store.put_if_absent("ab/empty", b"")
    assert store.get("ab/empty") == b""
    assert [found.size for found in store.list()] == [0]


def test_nothing_is_overwritten(store):
    store.put_if_absent("ab/one", b"first")
    for body in (b"first", b"second"):
        with pytest.raises(ObjectExists):
            store.put_if_absent("ab/one", body)
    assert store.get("ab/one") == b"first"


def test_looking_whether_it_can_be_written_leaves_nothing(store):
    store.put_if_absent("ab/one", b"body")
    store.check_writable()
    assert [found.name for found in store.list()] == ["ab/one"]


def test_ranges_are_exact_and_shorter_only_at_the_end(store):
    store.put_if_absent("ab/one", b"0123456789")
    assert store.get_range("ab/one", 2, 3) == b"234"
    assert store.get_range("ab/one", 0, 10) == b"0123456789"
    assert store.get_range("ab/one", 8, 5) == b"89"
    assert store.get_range("ab/one", 10, 5) == b""
    assert store.get_range("ab/one", 99, 5) == b""
    assert store.get_range("ab/one", 3, 0) == b""


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
def test_negative_ranges_are_refused(store, offset, length):
    store.put_if_absent("ab/one", b"0123456789")
    with pytest.raises(ValueError):
        store.get_range("ab/one", offset, length)


def test_what_is_missing_is_missing(store):
    store.put_if_absent("ab/one", b"x")
    for name in ("ab/two", "zz/one", "ab", "ab/one/more"):
        with pytest.raises(ObjectMissing):
            store.get(name)
        with pytest.raises(ObjectMissing):
            store.get_range(name, 0, 1)


def test_lists_come_in_the_order_of_names_with_sizes(store):
    names = ["b0/x", "a-b", "a/x", "a/b/c", "a0", "a.b", "b", "aa/y"]
    for name in names:
        store.put_if_absent(name, name.encode())
    assert [found.name for found in store.list()] == sorted(names)
    assert [found.size for found in store.list()] == [len(name) for name in sorted(names)]
    assert all(found.created_at > 1_600_000_000 for found in store.list())


@pytest.mark.parametrize("prefix", ["a", "a/", "a/b", "a/b/", "aa/", "b", "zz", "a/b/c", "a/b/cd"])
def test_a_prefix_is_a_prefix_of_the_name(store, prefix):
    names = ["b0/x", "a-b", "a/x", "a/b/c", "a0", "aa/y"]
    for name in names:
        store.put_if_absent(name, b"")
    assert [found.name for found in store.list(prefix)] == sorted(name for name in names if name.startswith(prefix))


def test_an_empty_store_lists_nothing(store):
    assert list(store.list()) == []


def test_deleting_is_for_good_and_of_nothing_no_error(store):
    store.put_if_absent("ab/one", b"x")
    store.delete("ab/one")
    store.delete("ab/one")
    store.delete("zz/never")
    with pytest.raises(ObjectMissing):
        store.get("ab/one")
    store.put_if_absent("ab/one", b"again")
    assert store.get("ab/one") == b"again"


def test_of_64_that_put_the_same_name_one_wins(store):
    start = threading.Barrier(64)
    won, lost = [], []

    def put(number):
        start.wait()
        try:
            store.put_if_absent("ab/contended", b"%d" % number)
            won.append(number)
        except ObjectExists:
            lost.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 63)
    assert store.get("ab/contended") == b"%d" % won[0]


# --- failures of a store that can be told to fail: the caller's way out is to put again


def test_a_put_that_failed_and_was_not_kept_is_put_again():
    store = SimulatedObjectStore()
    store.fail("put_if_absent", "lost")
    with pytest.raises(Unavailable):
        store.put_if_absent("a", b"x")
    store.put_if_absent("a", b"x")
    assert store.get("a") == b"x"


def test_a_put_that_failed_and_was_kept_says_so_when_put_again():
    store = SimulatedObjectStore()
    store.fail("put_if_absent", "kept")
    with pytest.raises(Unavailable):
        store.put_if_absent("a", b"x")
    with pytest.raises(ObjectExists):
        store.put_if_absent("a", b"x")
    assert store.get("a") == b"x"


def test_other_faults_of_the_simulator():
    store = SimulatedObjectStore(delay=0)
    store.put_if_absent("a", b"0123")
    store.fail("get", "truncated", "slow", "lost")
    assert (store.get("a"), store.get("a")) == (b"01", b"0123")
    with pytest.raises(Unavailable):
        store.get("a")
    store.altered("a", b"other")
    assert store.get("a") == b"other"
    store.vanish("a")
    assert list(store.list()) == []


# --- the file store


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../x", "/etc/passwd", "a//b", "a/", "/a", ".tmp/x", "a/.hidden", "a b", "ä", "a\n", "a\0b", "a\\b"]
)
def test_names_that_lead_elsewhere_are_refused(bucket, name):
    store = FileObjectStore(bucket)
    for use in (store.get, store.delete, lambda n: store.put_if_absent(n, b""), lambda n: store.get_range(n, 0, 1)):
        with pytest.raises(ValueError):
            use(name)
    assert list(bucket.iterdir()) == []


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


# --- addresses


def test_a_file_address_opens_a_file_store(tmp_path):
    folder = tmp_path / "with space"
    folder.mkdir()
    store = open_object_store(folder.as_uri())
    store.put_if_absent("a", b"x")
    assert (folder / "a").read_bytes() == b"x"


@pytest.mark.parametrize("url", ["", "bucket", "/bucket", "file:bucket", "file://host/bucket", "s3://bucket", "http://bucket/x"])
def test_other_addresses_are_refused(url):
    with pytest.raises(ValueError, match="file://"):
        open_object_store(url)


def test_a_google_address_is_refused_by_name():
    with pytest.raises(ValueError, match="not in this version"):
        open_object_store("gs://bucket")
