"""`init --bucket`: what is wrong with a bucket is said before anything is made."""

import os
import time

import pytest
from simulator import SimulatedObjectStore

from gateway.errors import Unavailable
from gateway.founding import FoundingRefused, found
from gateway.settings import load_settings
from gateway.storage.gcs_store import GcsObjectStore
from gateway.storage.probe import BucketUnfit, verify_bucket


def make(home, bucket_url):
    return found(home, delegates=1, slot_seconds=1, chosen={"bucket_url": bucket_url}, now=int(time.time()), random=os.urandom)


def refusal(tmp_path, bucket_url):
    with pytest.raises(FoundingRefused) as refused:
        make(tmp_path / "gateway", bucket_url)
    assert not list(tmp_path.glob("*gateway*"))
    assert bucket_url in str(refused.value)
    return str(refused.value)


def test_a_good_bucket_is_kept_in_the_settings_and_left_empty(tmp_path, gcs_bucket):
    make(tmp_path / "gateway", f"gs://{gcs_bucket}/a")
    settings = load_settings(tmp_path / "gateway", {})
    assert settings.effective_bucket_url == f"gs://{gcs_bucket}/a"
    assert load_settings(tmp_path / "gateway", {"FHIR_ANCHOR_BUCKET_URL": "gs://other"}).effective_bucket_url == "gs://other"
    assert list(GcsObjectStore(gcs_bucket).list()) == []


def test_no_such_bucket(tmp_path, gcs_bucket):
    assert "does not exist" in refusal(tmp_path, f"gs://{gcs_bucket}-else")


def test_a_bucket_in_use_and_a_prefix_beside(tmp_path, gcs_bucket):
    store = GcsObjectStore(gcs_bucket)
    store.put_if_absent("gateway-1/notes.txt", b"x")
    assert "not empty" in refusal(tmp_path, f"gs://{gcs_bucket}")
    assert "not empty" in refusal(tmp_path, f"gs://{gcs_bucket}/gateway-1")
    make(tmp_path / "gateway", f"gs://{gcs_bucket}/gateway-2")
    assert [found.name for found in store.list()] == ["gateway-1/notes.txt"]


def test_no_such_folder(tmp_path):
    assert "not there" in refusal(tmp_path, (tmp_path / "nowhere").as_uri())


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_permission_to_list_to_write_or_to_delete(tmp_path, gcs_bucket, cutting_proxy, method):
    cutting_proxy.fail(method, *["denied"] * 2)
    assert "roles/storage.objectUser" in refusal(tmp_path, f"gs://{gcs_bucket}")


def test_no_credentials(tmp_path, monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    assert "gcloud auth application-default login" in refusal(tmp_path, "gs://bucket")


class Overwriting(SimulatedObjectStore):
    def put_if_absent(self, name, body):
        self.altered(name, body)


class Forgetting(SimulatedObjectStore):
    def list(self, prefix=""):
        return iter(())


@pytest.mark.parametrize(("store", "words"), [(Overwriting(), "overwritten"), (Forgetting(), "give back")])
def test_a_store_that_does_not_do_as_it_must_is_unfit(store, words):
    with pytest.raises(BucketUnfit, match=words):
        verify_bucket(store, "probe")
    with pytest.raises(KeyError):
        store.vanish("probe")  # it is gone


def test_a_bucket_with_something_in_it_is_not_touched():
    store = SimulatedObjectStore()
    store.put_if_absent("a", b"x")
    with pytest.raises(BucketUnfit, match="not empty"):
        verify_bucket(store, "probe")
    assert {verb for verb, _ in store.calls} == {"put_if_absent", "list"}


def test_a_probe_that_fails_on_its_way_leaves_nothing():
    store = SimulatedObjectStore()
    store.fail("put_if_absent", "kept")
    with pytest.raises(Unavailable):
        verify_bucket(store, "probe")
    assert list(store.list()) == []
