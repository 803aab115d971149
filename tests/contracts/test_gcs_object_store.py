"""What is particular to the store on Google Cloud Storage: tries, checksums, refusals, connections. Against the emulator, through real sockets."""

import os
import secrets
import subprocess
import sys
import time

import pytest

from gateway.commands.gcs_emulator import GcsEmulator
from gateway.errors import Unavailable
from gateway.storage import gcs_store
from gateway.storage.gcs_store import CONNECTIONS, GcsObjectStore
from gateway.storage.port import ObjectExists, ObjectMissing
from gateway.web.server import THREADS

BODY = bytes(range(256)) * 40


@pytest.fixture
def store(gcs_bucket, cutting_proxy):
    return GcsObjectStore(gcs_bucket, deadline=5.0)


@pytest.fixture
def direct(gcs_bucket, running_emulator, store, monkeypatch):
    """The same bucket, not through the proxy."""
    store.delete("nothing")  # has found its way through the proxy, and keeps it
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", running_emulator.url)
    return GcsObjectStore(gcs_bucket)


def uses_of(store):
    return {
        "put": lambda: store.put_if_absent("a", b"x"),
        "get": lambda: store.get("a"),
        "range": lambda: store.get_range("a", 0, 1),
        "list": lambda: list(store.list()),
        "delete": lambda: store.delete("a"),
        "check": store.check_writable,
    }


@pytest.mark.parametrize("faults", [["lost"], ["kept"], ["refused"], ["lost", "refused", "kept"], ["kept", "kept"], ["kept", "lost"]])
def test_a_put_whose_answer_is_lost_is_tried_again_and_counts_as_done(store, cutting_proxy, faults):
    cutting_proxy.fail("POST", *faults)
    store.put_if_absent("a", BODY)
    assert store.get("a") == BODY
    with pytest.raises(ObjectExists):
        store.put_if_absent("a", BODY)


def test_a_put_tried_again_does_not_take_what_another_put_there_for_its_own(store, direct, cutting_proxy):
    direct.put_if_absent("a", BODY[::-1])
    cutting_proxy.fail("POST", "lost")
    with pytest.raises(ObjectExists):
        store.put_if_absent("a", BODY)
    assert store.get("a") == BODY[::-1]


def test_an_upload_damaged_on_its_way_does_not_keep_the_name(store, cutting_proxy):
    cutting_proxy.fail("POST", "damaging")
    store.put_if_absent("a", BODY)
    assert store.get("a") == BODY
    assert [found.size for found in store.list()] == [len(BODY)]


def test_a_put_that_is_always_damaged_is_unavailable_and_leaves_nothing(gcs_bucket, cutting_proxy):
    store = GcsObjectStore(gcs_bucket, deadline=0)
    cutting_proxy.fail("POST", "damaging")
    with pytest.raises(Unavailable, match="damaged"):
        store.put_if_absent("a", BODY)
    assert list(store.list()) == []


@pytest.mark.parametrize("fault", ["lost", "refused", "truncated", "shortened", "damaged"])
def test_a_get_cut_short_or_damaged_is_tried_again(store, cutting_proxy, fault):
    store.put_if_absent("a", BODY)
    cutting_proxy.fail("GET", fault)
    assert store.get("a") == BODY


@pytest.mark.parametrize("fault", ["lost", "refused", "truncated", "shortened"])
def test_a_range_cut_short_is_tried_again(store, cutting_proxy, fault):
    store.put_if_absent("a", BODY)
    cutting_proxy.fail("GET", fault)
    assert store.get_range("a", 100, 50) == BODY[100:150]
    cutting_proxy.fail("GET", fault)
    assert store.get_range("a", len(BODY) - 4, 50) == BODY[-4:]


@pytest.mark.parametrize("fault", ["lost", "refused", "truncated"])
def test_lists_and_deletes_are_tried_again(store, cutting_proxy, fault):
    store.put_if_absent("a", BODY)
    cutting_proxy.fail("GET", fault)
    assert [found.name for found in store.list()] == ["a"]
    cutting_proxy.fail("DELETE", "kept" if fault == "truncated" else fault)
    store.delete("a")
    assert list(store.list()) == []


@pytest.mark.parametrize("verb", ["put", "get", "range", "list", "delete", "check"])
def test_denied_is_said_at_once(store, cutting_proxy, verb):
    cutting_proxy.fail("POST", "denied")
    cutting_proxy.fail("GET", "denied")
    cutting_proxy.fail("DELETE", "denied")
    with pytest.raises(Unavailable, match="access is denied"):
        uses_of(store)[verb]()
    assert len(cutting_proxy.requests) == 1


@pytest.mark.parametrize("verb", ["put", "get", "range", "list", "delete", "check"])
def test_a_bucket_that_is_not_there_is_unavailable_not_empty(gcs_bucket, verb):
    with pytest.raises(Unavailable, match="bucket does not exist") as refusal:
        uses_of(GcsObjectStore(gcs_bucket + "-else"))[verb]()
    assert gcs_bucket not in str(refusal.value)


@pytest.mark.parametrize("verb", ["put", "get", "range", "list", "delete", "check"])
def test_an_outage_is_known_by_the_deadline_and_over_when_it_is_over(monkeypatch, running_emulator, verb):
    with GcsEmulator() as emulator:
        emulator.make_bucket("outage")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        store = GcsObjectStore("outage", deadline=0.3)
        store.put_if_absent("b", b"x")
        emulator.stop()
        began = time.monotonic()
        with pytest.raises(Unavailable, match="cannot be reached"):
            uses_of(store)[verb]()
        assert time.monotonic() - began < 3
        emulator.start()
        emulator.make_bucket("outage")
        store.put_if_absent("a", b"x")
        uses_of(store)["get"]()


def test_an_outage_that_lasts_is_waited_for_once(gcs_bucket, cutting_proxy):
    store = GcsObjectStore(gcs_bucket, deadline=0.5)
    store.put_if_absent("b", b"x")
    cutting_proxy.fail("GET", *["lost"] * 50)
    counts = []
    for _ in range(3):
        before = len(cutting_proxy.requests)
        with pytest.raises(Unavailable):
            store.get("b")
        counts.append(len(cutting_proxy.requests) - before)
    assert counts[0] > 1
    assert counts[1:] == [1, 1]
    store.put_if_absent("c", b"x")
    before = len(cutting_proxy.requests)
    with pytest.raises(Unavailable):
        store.get("b")
    assert len(cutting_proxy.requests) - before > 1, "answered in between: it is a new outage"


def test_an_object_of_many_megabytes_goes_in_parts(gcs_bucket):
    store, body = GcsObjectStore(gcs_bucket), secrets.token_bytes(9 << 20)
    store.put_if_absent("a", body)
    assert store.get("a") == body


def test_lists_have_many_pages(gcs_bucket, monkeypatch):
    monkeypatch.setattr(gcs_store, "_PAGE", 3)
    store = GcsObjectStore(gcs_bucket)
    names = [f"a/{number:02}" for number in range(10)]
    for name in names:
        store.put_if_absent(name, b"x")
    assert [found.name for found in store.list("a/")] == names


def test_a_prefix_shares_a_bucket_with_others(gcs_bucket):
    one, other, all_of_it = GcsObjectStore(gcs_bucket, "one/"), GcsObjectStore(gcs_bucket, "other/"), GcsObjectStore(gcs_bucket)
    one.put_if_absent("a", b"1")
    other.put_if_absent("a", b"2")
    assert (one.get("a"), [found.name for found in one.list()]) == (b"1", ["a"])
    assert [found.name for found in all_of_it.list()] == ["one/a", "other/a"]
    one.delete("a")
    with pytest.raises(ObjectMissing):
        one.get("a")
    assert other.get("a") == b"2"


@pytest.mark.parametrize("path", [None, "nowhere.json"])
def test_without_credentials_it_says_what_to_do(monkeypatch, tmp_path, path):
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    if path:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / path))
    with pytest.raises(Unavailable, match="no Google credentials"):
        GcsObjectStore("bucket").get("a")


def test_a_process_has_connections_of_its_own(gcs_bucket):
    store = GcsObjectStore(gcs_bucket)
    assert store._opened is None
    store.put_if_absent("a", b"x")
    opened = store._opened
    child = os.fork()
    if child == 0:
        os._exit(0 if store.get("a") == b"x" and store._opened[1].client is not opened[1].client else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store._opened is opened


def test_there_is_a_connection_for_every_thread_of_a_worker():
    assert CONNECTIONS >= THREADS


def test_who_keeps_files_does_not_pay_for_the_library(tmp_path):
    program = "import sys; from gateway.storage.opening import open_object_store as o; o(sys.argv[1]); print('google.cloud.storage' in sys.modules)"
    for address, expected in ((tmp_path.as_uri(), "False"), ("gs://bucket", "True")):
        done = subprocess.run([sys.executable, "-c", program, address], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
