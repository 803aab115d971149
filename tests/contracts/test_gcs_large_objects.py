"""Create-only of objects above 8 MiB on Google Cloud Storage, which the library sends in two requests (a resumable upload).

The emulator does not look at the condition of such an upload, so a server of our own answers as Google's reference says: whoever begins names
the condition, and the object comes into being, or does not (412), with the last byte.
"""

from base64 import b64encode

import google_crc32c
import pytest
from scripted_server import HANG_UP, Server

from gateway.storage.gcs_store import GcsObjectStore
from gateway.storage.port import ObjectExists

BODY = bytes(8 * 1024 * 1024 + 1)
BEGIN = "/upload/storage/v1/b/large/o?uploadType=resumable&ifGenerationMatch=0"
OBJECT = "/storage/v1/b/large/o/a?projection=noAcl&prettyPrint=false"
REFUSED = (412, {}, {"error": {"code": 412, "message": "At least one of the pre-conditions you specified did not hold."}})


def stored(body):
    return {"name": "a", "size": str(len(body)), "generation": "1", "crc32c": b64encode(google_crc32c.Checksum(body).digest()).decode()}


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    yield server
    server.close()


@pytest.fixture
def store(server):
    return GcsObjectStore("large", deadline=5.0)


def answers(server, begin, *ends):
    """To whoever begins an upload, and to those who then send its bytes."""
    server.script["POST", BEGIN] = [begin or (200, {"Location": f"{server.url}/session"}, {})]
    server.script["PUT", "/session"] = list(ends)


def test_the_condition_is_named_when_the_upload_begins(server, store):
    answers(server, None, (200, {}, stored(BODY)))
    store.put_if_absent("a", BODY)
    assert [(method, path) for method, path, _, _ in server.seen] == [("POST", BEGIN), ("PUT", "/session")]
    assert server.seen[-1][3] == BODY


@pytest.mark.parametrize("when", ["it begins", "its last byte is there"])
def test_an_object_that_is_there_is_not_replaced(server, store, when):
    answers(server, REFUSED if when == "it begins" else None, REFUSED)
    with pytest.raises(ObjectExists):
        store.put_if_absent("a", BODY)
    assert server.count("PUT", "/session") == (0 if when == "it begins" else 1)


@pytest.mark.parametrize("found", [BODY, BODY[:-1]])
def test_after_an_answer_that_was_lost_what_is_there_decides(server, store, found):
    answers(server, None, HANG_UP, REFUSED)
    server.script["GET", OBJECT] = [(200, {}, stored(found))]
    if found == BODY:
        store.put_if_absent("a", BODY)
    else:
        with pytest.raises(ObjectExists):
            store.put_if_absent("a", BODY)
    assert server.count("PUT", "/session") == 2
