"""Updates and deletions in bundles."""

import pytest
from fhir.resources.R4B.bundle import Bundle
from written import bundle, count, fresh, of, person, place, statuses

from gateway.index import schema as t


def test_a_transaction_deletes_creates_and_updates_in_this_order(send):
    name, value = fresh(), fresh()
    old, _ = place(send("PUT", f"/Patient/{name}", person(name, **of(value))))
    flag = {
        "resourceType": "Flag",
        "status": "active",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient?identifier=urn:x|{value}"},
    }
    answer = send(
        "POST",
        "",
        bundle(
            "transaction",
            ("PUT", f"Flag/{name}", flag | {"id": name}),
            ("POST", "Patient", person(**of(value)), {"ifNoneExist": f"identifier=urn:x|{value}"}),
            ("DELETE", f"Patient/{name}", None, {"ifMatch": 'W/"1"'}),
        ),
    )
    assert answer.status == 200, answer.body
    Bundle.model_validate(answer.json)
    assert statuses(answer) == ["201", "201", "204"]  # the condition is asked once the deletion has taken effect
    places = [entry["response"]["location"] for entry in answer.json["entry"]]
    assert places[2] == f"{old[1:]}/_history/2"
    assert send("GET", f"/{places[0]}").json["subject"]["reference"] == places[1].partition("/_history")[0]
    assert send("GET", old).status == 410


@pytest.mark.parametrize("second", [("PUT", "{}"), ("DELETE", "{}"), ("PUT", "Patient?identifier=urn:x|{}")])
def test_the_same_resource_twice_in_a_transaction_is_refused(gateway, send, second):
    name = fresh()
    path, _ = place(send("PUT", f"/Patient/{name}", person(name, **of(name))))
    before = count(gateway, t.container)
    method, url = second[0], second[1].format(path[1:] if second[1] == "{}" else name)
    resource = None if method == "DELETE" else person(path.rpartition("/")[2] if second[1] == "{}" else None)
    answer = send("POST", "", bundle("transaction", ("PUT", f"Patient/{name}", person(name, gender="male")), (method, url, resource)))
    assert answer.status == 422
    assert {issue["code"] for issue in answer.outcome} == {"duplicate"}
    assert count(gateway, t.container) == before


def test_an_unknown_name_deleted_and_put_in_one_transaction_is_refused(send):
    entries = ("PUT", "Patient/n", person("n")), ("DELETE", "Patient/n", None)
    assert send("POST", "", bundle("transaction", *entries)).status == 422


def test_a_transaction_with_a_stale_version_writes_nothing(gateway, send):
    name = fresh()
    send("PUT", f"/Patient/{name}", person(name))
    before = count(gateway, t.container)
    stale = ("PUT", f"Patient/{name}", person(name, gender="male"), {"ifMatch": 'W/"7"'})
    answer = send("POST", "", bundle("transaction", ("POST", "Patient", person()), stale))
    assert (answer.status, answer.outcome[0]["expression"]) == (412, ["Bundle.entry[1].resource"])
    assert count(gateway, t.container) == before
    assert statuses(send("POST", "", bundle("batch", ("POST", "Patient", person()), stale))) == ["201", "412"]


def test_an_own_id_put_in_a_bundle_is_referred_to_by_it(send):
    name = fresh()
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": f"Patient/{name}"}}
    answer = send("POST", "", bundle("transaction", ("POST", "Flag", flag), ("PUT", f"Patient/{name}", person(name))))
    flag_at, patient_at = (entry["response"]["location"] for entry in answer.json["entry"])
    assert send("GET", f"/{flag_at}").json["subject"]["reference"] == patient_at.partition("/_history")[0]
    assert place(send("PUT", f"/Patient/{name}", person(name, gender="male"))) == ("/" + patient_at.partition("/_history")[0], 2)


def test_a_repeated_bundle_brings_back_what_was_changed_or_deleted(send):
    sent = bundle("transaction", *(("POST", "Patient", person(language=f"x-{fresh()}")) for _ in range(3)))
    first = send("POST", "", sent)
    kept, changed, deleted = ("/" + entry["response"]["location"].partition("/_history")[0] for entry in first.json["entry"])
    assert send("POST", "", sent).headers["idempotent-replay"] == "true"
    send("PUT", changed, person(changed.rpartition("/")[2], gender="male"))
    send("DELETE", deleted)
    again = send("POST", "", sent)
    assert "idempotent-replay" not in again.headers
    assert [entry["response"]["location"] for entry in again.json["entry"]] == [
        f"{path[1:]}/_history/{version}" for path, version in ((kept, 1), (changed, 3), (deleted, 3))
    ]
    assert statuses(again) == ["200", "200", "201"]
    assert send("POST", "", sent).headers["idempotent-replay"] == "true"


def test_a_repeated_bundle_does_not_overwrite_what_it_only_met(send):
    value = fresh()
    met, _ = place(send("POST", "/Patient", person(**of(value))))
    entry = ("POST", "Patient", person(gender="male", **of(value)), {"ifNoneExist": f"identifier=urn:x|{value}"})
    sent = bundle("transaction", entry)
    assert statuses(send("POST", "", sent)) == ["200"]
    send("PUT", met, person(met.rpartition("/")[2], gender="female"))  # has the identifier no more
    assert statuses(send("POST", "", sent)) == ["201"]
    assert send("GET", met).headers["etag"] == 'W/"2"'


def test_a_condition_that_is_not_understood_is_not_ignored(send):
    name = fresh()
    assert send("PUT", f"/Patient/{name}", person(name), If_None_Match="*").status == 501
    entry = ("PUT", f"Patient/{name}", person(name), {"ifNoneMatch": "*"})
    assert send("POST", "", bundle("transaction", entry)).status == 422
    assert statuses(send("POST", "", bundle("batch", entry))) == ["501"]


def test_a_repeated_deletion_in_a_bundle_acts_on_what_is_there(send):
    name = fresh()
    sent = bundle("transaction", ("DELETE", f"Patient/{name}", None), ("POST", "Patient", person(language=f"x-{name}")))
    first = send("POST", "", sent)
    assert first.json["entry"][0] == {"response": {"status": "204 No Content"}}
    path, _ = place(send("PUT", f"/Patient/{name}", person(name)))
    second = send("POST", "", sent)
    assert second.json["entry"][0]["response"]["location"] == f"{path[1:]}/_history/2"
    assert second.json["entry"][1]["response"]["location"] == first.json["entry"][1]["response"]["location"]
    assert send("POST", "", sent).headers["idempotent-replay"] == "true"
