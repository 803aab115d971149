"""The history of a resource over HTTP, and the receipts of its versions."""

import time

import pytest
from fhir.resources.R4B.bundle import Bundle
from written import FHIR, fresh, person, place

from chain.engine import EmbeddedEngine
from chain.store import LedgerStore
from gateway.independent import receipt as independent
from gateway.key_files import delegate_key_paths, read_key
from gateway.verification import ReceiptInvalid, verify_receipt
from jobs.produce_blocks import BlockProduction

# --- history


def test_the_history_has_every_version_verbatim(send):
    name = fresh()
    path, _ = place(send("PUT", f"/Patient/{name}", person(name, gender="male")))
    send("PUT", path, person(path.rpartition("/")[2], gender="female"))
    send("DELETE", path)
    send("PUT", path, person(path.rpartition("/")[2], gender="other"))
    answer = send("GET", f"{path}/_history")
    assert (answer.status, answer.headers["content-type"]) == (200, FHIR)
    Bundle.model_validate(answer.json)
    assert [link["relation"] for link in answer.json["link"]] == ["self"]
    entries = answer.json["entry"]
    assert [entry["request"]["method"] for entry in entries] == ["PUT", "DELETE", "PUT", "POST"]
    assert [entry["response"]["etag"] for entry in entries] == ['W/"4"', 'W/"3"', 'W/"2"', 'W/"1"']
    assert ["resource" in entry for entry in entries] == [True, False, True, True]
    for version in (1, 2, 4):
        assert send("GET", f"{path}/_history/{version}").body in answer.body


def test_a_history_comes_in_pages(send):
    name = fresh()
    for n in range(1, 6):
        path, version = place(send("PUT", f"/Patient/{name}", person(name, multipleBirthInteger=n)))
        assert version == n
    seen, url = [], f"{path}/_history?_count=2"
    while url:
        page = send("GET", url).json
        assert len(page["entry"]) <= 2
        seen += [int(entry["resource"]["meta"]["versionId"]) for entry in page["entry"]]
        url = next((link["url"].partition("/fhir")[2] for link in page["link"] if link["relation"] == "next"), None)
    assert seen == [5, 4, 3, 2, 1]
    for bad in ("0", "-1", "x", "9" * 11):
        assert send("GET", f"{path}/_history?_count={bad}").status == 400
    assert send("GET", f"{path}/_history?_since=2020").status == 501


def test_a_history_is_its_issuers(send, other):
    path, _ = place(send("POST", "/Patient", person()))
    hidden, missing = (send("GET", f"{p}/_history", token=other) for p in (path, "/Patient/" + "0" * 32))
    assert (hidden.status, hidden.body) == (missing.status, missing.body)
    assert hidden.status == 403


# --- proof


@pytest.fixture(scope="module")
def make_final(gateway):
    """Puts what waits into a block."""

    def make_final():
        genesis, settings = gateway.ledger.genesis, gateway.services.settings
        store = LedgerStore.open(settings.effective_ledger_url, genesis)
        keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
        engine = EmbeddedEngine.open(store, genesis, keys)
        production = BlockProduction(gateway.services.index, engine, gateway.ledger, read_key(settings.keys_path / "gateway.json"))
        production.produce(time.time() + 2)
        engine.close()
        store.close()

    return make_final


def test_receipts_of_updates_and_of_deletions_verify(gateway, token, send, make_final):
    name = fresh()
    path, _ = place(send("PUT", f"/Patient/{name}", person(name, gender="male")))
    send("PUT", path, person(path.rpartition("/")[2], gender="female"))
    send("DELETE", path)
    make_final()
    get = lambda address: gateway.client.ask("GET", address, None, token)  # noqa: E731
    genesis = gateway.services.settings.genesis_path.read_bytes()
    gone = get(f"/fhir{path}")
    tombstone = get(gone.headers["link"].split(gateway.client.url)[-1].partition(">")[0])
    assert (tombstone.status, tombstone.headers["content-type"]) == (200, "application/json")
    assert tombstone.json["deleted"] is True
    assert list(tombstone.json) == ["resourceType", "id", "meta", "deleted"]
    records = [get(f"/fhir{path}/_history/1").body, get(f"/fhir{path}/_history/2").body, tombstone.body]
    for version, record in enumerate(records, 1):
        receipt = get(f"/ledger/receipts{path}/_history/{version}")
        assert receipt.status == 200, receipt.body
        assert verify_receipt(receipt.body, genesis, record).reference == f"{path[1:]}/_history/{version}"
        assert independent.verify_receipt(receipt.body, genesis, record).reference == f"{path[1:]}/_history/{version}"
        for another in (records[version % 3], record.replace(b'"versionId":"', b'"versionId":"1')):
            with pytest.raises(ReceiptInvalid):
                verify_receipt(receipt.body, genesis, another)


def test_only_what_was_deleted_has_a_tombstone(gateway, token, send, other):
    path, _ = place(send("POST", "/Patient", person()))
    send("DELETE", path)
    ask = lambda address, token=token: gateway.client.ask("GET", f"/ledger/tombstones{address}", None, token).status  # noqa: E731
    assert (ask(f"{path}/_history/1"), ask(f"{path}/_history/2"), ask(f"{path}/_history/3")) == (404, 200, 404)
    assert ask(f"{path}/_history/2", other) == 403
