"""The contract of `gateway.storage.port.ObjectStore`, for every store, with faults; then addresses."""

import errno
import os
import threading
import time
from contextlib import suppress

import pytest
from simulator import SimulatedObjectStore

from gateway.errors import Unavailable
from gateway.storage.file_store import FileObjectStore
from gateway.storage.gcs_store import GcsObjectStore
from gateway.storage.opening import open_object_store
from gateway.storage.port import ObjectExists, ObjectMissing


@pytest.fixture(params=["file", "simulated", "gcs", "gcs below a prefix"])
def store(request, tmp_path):
    if request.param == "file":
        return FileObjectStore(tmp_path)
    if request.param == "simulated":
        return SimulatedObjectStore()
    prefix = "/a/gateway" if request.param == "gcs below a prefix" else ""
    return open_object_store(f"gs://{request.getfixturevalue('gcs_bucket')}{prefix}")


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


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../x", "/etc/passwd", "a//b", "a/", "/a", ".tmp/x", "a/.hidden", "a b", "ä", "a\n", "a\0b", "a\\b"]
)
def test_names_that_lead_elsewhere_are_refused(store, name):
    for use in (store.get, store.delete, lambda n: store.put_if_absent(n, b""), lambda n: store.get_range(n, 0, 1)):
        with pytest.raises(ValueError):
            use(name)
    assert list(store.list()) == []


# --- faults, of every store that can be told to fail: the caller's way out is to ask again


class FailingFiles(FileObjectStore):
    """Told to fail in the system calls it makes."""

    def __init__(self, root, monkeypatch):
        super().__init__(root)
        self._patch = monkeypatch

    def fail(self, verb, fault):
        call, error = (
            {"put_if_absent": "link", "get": "pread", "delete": "unlink", "list": "scandir"}[verb],
            OSError(errno.EIO, "Input/output error"),
        )
        real = getattr(os, call)

        def failing(*args, **named):
            self._patch.setattr(os, call, real)
            if fault == "lost":
                raise error
            if fault == "slow":
                time.sleep(0.05)
            done = real(*args, **named)
            if fault == "kept":
                raise error
            return done[: len(done) // 2] if fault == "truncated" else done

        self._patch.setattr(os, call, failing)


class FailingGcs(GcsObjectStore):
    """Behind a proxy that is told to fail; with a deadline of 0 seconds nothing is tried twice."""

    def __init__(self, bucket, proxy, deadline=0.0):
        super().__init__(bucket, "gateway/", deadline=deadline)
        self._proxy = proxy

    def fail(self, verb, fault):
        self._proxy.fail({"put_if_absent": "POST", "delete": "DELETE"}.get(verb, "GET"), fault)


@pytest.fixture(params=["file", "simulated", "gcs"])
def failing(request, tmp_path, monkeypatch):
    if request.param == "file":
        return FailingFiles(tmp_path, monkeypatch)
    if request.param == "simulated":
        return SimulatedObjectStore()
    return FailingGcs(request.getfixturevalue("gcs_bucket"), request.getfixturevalue("cutting_proxy"))


def test_a_put_that_failed_and_was_not_kept_is_put_again(failing):
    failing.fail("put_if_absent", "lost")
    with pytest.raises(Unavailable):
        failing.put_if_absent("a", b"x")
    with pytest.raises(ObjectMissing):
        failing.get("a")
    failing.put_if_absent("a", b"x")
    assert failing.get("a") == b"x"


def test_a_put_that_failed_and_was_kept_says_so_when_put_again(failing):
    failing.fail("put_if_absent", "kept")
    with pytest.raises(Unavailable):
        failing.put_if_absent("a", b"x")
    with pytest.raises(ObjectExists):
        failing.put_if_absent("a", b"x")
    assert failing.get("a") == b"x"


def test_a_slow_put_is_a_put(failing):
    failing.fail("put_if_absent", "slow")
    failing.put_if_absent("a", b"x")
    assert failing.get("a") == b"x"


@pytest.mark.parametrize("fault", ["lost", "kept"])
def test_a_delete_that_failed_is_done_again(failing, fault):
    failing.put_if_absent("a", b"x")
    failing.fail("delete", fault)
    with pytest.raises(Unavailable):
        failing.delete("a")
    failing.delete("a")
    assert list(failing.list()) == []


def test_a_get_that_failed_is_unavailable_not_missing(failing):
    failing.put_if_absent("a", b"0123")
    failing.fail("get", "lost")
    with pytest.raises(Unavailable):
        failing.get("a")
    assert failing.get("a") == b"0123"


def test_a_list_that_failed_is_unavailable_not_empty(failing):
    failing.put_if_absent("a", b"x")
    failing.fail("list", "lost")
    with pytest.raises(Unavailable):
        list(failing.list())
    assert [found.name for found in failing.list()] == ["a"]


def test_a_get_cut_short_is_noticed_or_short_but_never_other_bytes(failing):
    failing.put_if_absent("a", b"0123")
    failing.fail("get", "truncated")
    with suppress(Unavailable):
        assert b"0123".startswith(failing.get("a"))
    assert failing.get("a") == b"0123"


@pytest.mark.parametrize("failing", ["simulated", "gcs"], indirect=True)
def test_a_stale_list_does_not_bind_the_other_verbs(failing):
    failing.put_if_absent("a", b"x")
    assert [found.name for found in failing.list()] == ["a"]
    failing.put_if_absent("b", b"y")
    failing.delete("a")
    failing.fail("list", "stale")
    assert [found.name for found in failing.list()] == ["a"]
    assert failing.get("b") == b"y"
    failing.delete("a")
    with pytest.raises(ObjectMissing):
        failing.get("a")
    assert [found.name for found in failing.list()] == ["b"]


def test_other_faults_of_the_simulator():
    store = SimulatedObjectStore(delay=0)
    store.put_if_absent("a", b"0123")
    store.fail("get", "truncated", "slow")
    assert (store.get("a"), store.get("a")) == (b"01", b"0123")
    store.altered("a", b"other")
    assert store.get("a") == b"other"
    store.vanish("a")
    assert list(store.list()) == []


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


@pytest.mark.parametrize(
    "url", ["gs://", "gs:///x", "gs://ab", "gs://Bucket", "gs://bucket//x", "gs://bucket/../x", "gs://bucket/a b", "gs://bucket?x"]
)
def test_google_addresses_are_refused_for_their_fault(url):
    with pytest.raises(ValueError, match="gs://BUCKET"):
        open_object_store(url)
