"""Updating, deleting and the history of a resource over HTTP."""

import json
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import web_gateway
from fhir.resources.R4B.bundle import Bundle
from sqlalchemy import func, select
from web_gateway import new_key

from chain.engine import EmbeddedEngine
from chain.store import LedgerStore
from gateway.independent import receipt as independent
from gateway.index import archives, parties
from gateway.index import schema as t
from gateway.key_files import delegate_key_paths, read_key
from gateway.verification import ReceiptInvalid, verify_receipt
from jobs.produce_blocks import BlockProduction

KEY = new_key()
FHIR = "application/fhir+json"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        yield running


@pytest.fixture(scope="module")
def token(gateway):
    return gateway.client.token(KEY, gateway.hospital)


@pytest.fixture(scope="module")
def other(gateway):
    """The token of another party that may write."""
    name = web_gateway._register(gateway.services, "Other", 1, [KEY])
    return gateway.client.token(KEY, name)


@pytest.fixture(scope="module")
def send(gateway, token):
    def send(method, path, body=None, token=token, **headers):
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        return gateway.client.ask(method, f"/fhir{path}", sent, token, **({"Content_Type": FHIR} if body is not None else {}) | headers)

    return send


def person(id_=None, **more):
    return {"resourceType": "Patient"} | ({"id": id_} if id_ else {}) | more


def of(value):
    return {"identifier": [{"system": "urn:x", "value": value}]}


def fresh():
    return uuid.uuid4().hex[:12]


def place(answer):
    """(path below /fhir, version) that an answer's Location says."""
    path, _, version = answer.headers["location"].partition("/fhir")[2].partition("/_history/")
    return path, int(version)


def bundle(kind, *entries):
    made = []
    for method, url, resource, *more in entries:
        entry = {"request": {"method": method, "url": url} | (more[0] if more else {})}
        made.append(entry | ({"resource": resource} if resource else {}))
    return {"resourceType": "Bundle", "type": kind, "entry": made}


def statuses(answer):
    return [entry["response"]["status"][:3] for entry in answer.json["entry"]]


def count(gateway, table):
    with gateway.services.index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


# --- update


def test_a_put_by_the_senders_own_id_creates_and_then_updates_one_resource(send):
    name = fresh()
    first = send("PUT", f"/Patient/{name}", person(name, gender="male"))
    assert (first.status, first.body) == (201, b"")
    path, version = place(first)
    assert (version, first.headers["etag"]) == (1, 'W/"1"')
    assert name not in path
    second = send("PUT", f"/Patient/{name}", person(name, gender="female"))
    assert (second.status, place(second), second.headers["etag"]) == (200, (path, 2), 'W/"2"')
    assert second.headers["link"].endswith(f'/ledger/receipts{path}/_history/2>; rel="receipt"')
    assert send("GET", path).json["gender"] == "female"
    assert send("GET", f"{path}/_history/1").json["gender"] == "male"


def test_a_put_by_the_gateways_id_updates(send):
    path, _ = place(send("POST", "/Patient", person()))
    id_ = path.rpartition("/")[2]
    answer = send("PUT", path, person(id_, gender="other"), Prefer="return=representation")
    assert (answer.status, place(answer)) == (200, (path, 2))
    assert answer.json["meta"]["versionId"] == "2"
    assert answer.body == send("GET", path).body


def test_the_same_content_again_is_no_new_version(send):
    name = fresh()
    path, _ = place(send("PUT", f"/Patient/{name}", person(name, gender="male", active=True)))
    again = send("PUT", f"/Patient/{name}", b'{"active":true, "id":"%s","gender":"male","resourceType":"Patient"}' % name.encode())
    assert (again.status, place(again)) == (200, (path, 1))


def test_put_a_put_b_put_a_are_three_versions(send):
    name = fresh()
    answers = [send("PUT", f"/Patient/{name}", person(name, gender=gender)) for gender in ("male", "female", "male")]
    assert [place(answer)[1] for answer in answers] == [1, 2, 3]


def test_if_match_lets_only_the_current_version_be_replaced(send):
    name = fresh()
    assert send("PUT", f"/Patient/{name}", person(name), If_Match='W/"1"').status == 412
    assert send("PUT", f"/Patient/{name}", person(name), If_Match="*").status == 412
    path, _ = place(send("PUT", f"/Patient/{name}", person(name)))
    assert place(send("PUT", f"/Patient/{name}", person(name, gender="male"), If_Match='W/"1"')) == (path, 2)
    stale = send("PUT", f"/Patient/{name}", person(name, gender="female"), If_Match='W/"1"')
    assert (stale.status, stale.outcome[0]["code"]) == (412, "conflict")
    assert send("PUT", f"/Patient/{name}", person(name, gender="male"), If_Match='W/"1"').status == 412  # equal content, too
    assert send("PUT", f"/Patient/{name}", person(name, gender="female"), If_Match="2").status == 400
    assert place(send("PUT", f"/Patient/{name}", person(name, gender="other"), If_Match="*")) == (path, 3)
    assert send("GET", path).json["meta"]["versionId"] == "3"


@pytest.mark.parametrize("id_", [None, "another"])
def test_the_body_must_have_the_id_of_the_address(send, id_):
    answer = send("PUT", "/Patient/one", person(id_))
    assert (answer.status, answer.outcome[0]["code"]) == (400, "invalid")


def test_what_another_party_issued_is_refused_like_what_does_not_exist(gateway, send, other):
    path, _ = place(send("POST", "/Patient", person()))
    unknown = "/Patient/" + gateway.services.ids.encode((10**9,))[0]
    for method in ("PUT", "DELETE"):
        theirs, nobodys = (
            send(method, p, person(p.rpartition("/")[2]) if method == "PUT" else None, token=other, If_Match='W/"1"')
            for p in (path, unknown)
        )
        assert (theirs.status, theirs.body) == (nobodys.status, nobodys.body)
        assert theirs.status == 403
    wrong_type = path.replace("Patient", "Organization")
    assert send("PUT", wrong_type, {"resourceType": "Organization", "name": "x", "id": path.rpartition("/")[2]}).status == 403
    entry = bundle("transaction", ("PUT", path[1:], person(path.rpartition("/")[2])))
    assert send("POST", "", entry, token=other).status == 403
    assert statuses(send("POST", "", entry | {"type": "batch"}, token=other)) == ["403"]
    assert send("GET", path).json["meta"]["versionId"] == "1"


def test_the_same_own_id_of_two_parties_is_two_resources(send, other):
    name = fresh()
    one, two = (send("PUT", f"/Patient/{name}", person(name), **more) for more in ({}, {"token": other}))
    assert (one.status, two.status) == (201, 201)
    assert place(one) != place(two)


def test_an_id_that_was_referred_to_before_it_came_is_kept(send):
    name = fresh()
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": f"Patient/{name}"}}
    path, _ = place(send("POST", "/Flag", flag))
    subject = send("GET", path).json["subject"]["reference"]
    entry = ("PUT", subject, person(subject.partition("/")[2]))  # by the gateway's id, that only the reference has told
    came = send("POST", "", bundle("transaction", ("POST", "Flag", flag | {"subject": {"reference": subject}}), entry))
    assert statuses(came) == ["201", "201"]
    assert came.json["entry"][1]["response"]["location"] == f"{subject}/_history/1"
    assert place(send("PUT", f"/Patient/{name}", person(name, gender="male"))) == (f"/{subject}", 2)


def test_a_conditional_update_creates_updates_or_refuses(send):
    value = fresh()
    search = f"/Patient?identifier=urn:x|{value}"
    first = send("PUT", search, person(**of(value)))
    assert first.status == 201
    second = send("PUT", search.replace("|", "%7C"), person(gender="male", **of(value)))
    assert (second.status, place(second)) == (200, (place(first)[0], 2))
    assert send("PUT", search, person(gender="male", **of(value))).headers["etag"] == 'W/"2"'
    send("POST", "/Patient", person(**of(value)))
    many = send("PUT", search, person(gender="other", **of(value)))
    assert (many.status, many.outcome[0]["code"]) == (412, "multiple-matches")
    assert send("PUT", "/Patient?name=x", person()).status == 501
    assert send("PUT", "/Patient", person()).status in (400, 422)


def test_a_conditional_update_does_not_take_over_what_the_id_names(send):
    name, value = fresh(), fresh()
    send("PUT", f"/Patient/{name}", person(name))
    assert send("PUT", f"/Patient?identifier=urn:x|{value}", person(name, **of(value))).status == 400
    created = send("PUT", f"/Patient?identifier=urn:x|{value}", person("own-" + name, **of(value)))
    assert created.status == 201
    assert place(send("PUT", f"/Patient/own-{name}", person("own-" + name))) == (place(created)[0], 2)  # its id leads to it now


def test_the_gateways_id_in_a_conditional_update_must_be_of_what_is_found(gateway, send, other):
    value = fresh()
    search = f"/Patient?identifier=urn:x|{value}"
    path, _ = place(send("POST", "/Patient", person(**of(value))))
    theirs, _ = place(send("POST", "/Patient", person(), token=other))
    id_ = path.rpartition("/")[2]
    assert send("PUT", search, person(id_, gender="male", **of(value))).headers["etag"] == 'W/"2"'
    answers = [
        send("PUT", f"/Patient?identifier=urn:x|{wanted}", person(id_, **of(wanted)))
        for id_ in (theirs.rpartition("/")[2], gateway.services.ids.encode((10**9,))[0])
        for wanted in (value, fresh())
    ]
    assert {answer.status for answer in answers} == {400}
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize(
    "first",
    [("POST", "Patient", {}), ("POST", "Patient", {"ifNoneExist": "identifier=urn:x|{}"}), ("PUT", "Patient?identifier=urn:x|{}", {})],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_search_that_another_entry_meets_is_refused(send, first, is_there):
    value = fresh()
    if is_there:
        send("POST", "/Patient", person(**of(value)))
    method, url, more = first
    entries = (
        (method, url.format(value), person(gender="male", **of(value)), {name: text.format(value) for name, text in more.items()}),
        ("PUT", f"Patient?identifier=urn:x|{value}", person(gender="female", **of(value))),
    )
    answer = send("POST", "", bundle("transaction", *entries))
    assert (answer.status, {issue["code"] for issue in answer.outcome}) == (422, {"duplicate"})


@pytest.mark.parametrize(("method", "url", "more"), [("PUT", "Patient?{}", {}), ("POST", "Patient", {"ifNoneExist": "{}"})])
def test_one_condition_twice_is_one_identity(send, method, url, more):
    search = f"identifier=urn:x|{fresh()}"  # which neither resource has, so only the condition tells
    entry = (method, url.format(search), person(gender="male"), {name: text.format(search) for name, text in more.items()})
    answer = send("POST", "", bundle("transaction", entry, entry))
    assert (answer.status, {issue["code"] for issue in answer.outcome}) == (422, {"duplicate"})


def test_scopes_say_what_may_be_done(gateway):
    path = "/fhir/Patient/" + fresh()
    body = json.dumps(person(path.rpartition("/")[2])).encode()
    ask = lambda method, path, scope, body=body: gateway.client.ask(  # noqa: E731
        method, path, body, gateway.client.token(KEY, gateway.hospital, scope), Content_Type=FHIR
    )
    assert ask("PUT", path, "system/Patient.crds").status == 403
    assert ask("PUT", path, "system/Patient.u").status == 201
    assert ask("DELETE", path, "system/Patient.cru").status == 403
    batch = json.dumps(bundle("batch", ("DELETE", path[6:], None), ("PUT", path[6:], json.loads(body)))).encode()
    assert statuses(ask("POST", "/fhir", "system/*.c", batch)) == ["403", "403"]
    assert statuses(ask("POST", "/fhir", "system/*.cu", batch)) == ["403", "200"]
    assert ask("DELETE", path, "system/Patient.d").status == 204


def test_an_agency_may_not_write(gateway):
    token = gateway.client.token(KEY, gateway.agency)
    assert gateway.client.ask("PUT", "/fhir/Patient/1", b"{}", token, Content_Type=FHIR).status == 403
    assert gateway.client.ask("DELETE", "/fhir/Patient/1", None, token).status == 403


def test_a_patient_has_no_scope_to_update_or_delete(gateway, send):
    path, _ = place(send("POST", "/Patient", person()))
    with gateway.services.index.atomic() as connection:
        archive = archives.of_patient_resources(connection, [gateway.services.ids.decode(path.rpartition("/")[2])]).pop()
        jwks = {"keys": [KEY.as_dict(private=False)]}
        parties.enrol_patient(connection, client_id="patient-1", archive=archive, jwks=jwks, signing_key=bytes(32), now=1)
    token = gateway.client.token(KEY, "patient-1", "patient/Consent.cud patient/*.cruds system/*.cruds")
    for place_ in (path, "/Consent/c"):
        kind, _, id_ = place_[1:].partition("/")
        assert send("PUT", place_, {"resourceType": kind, "id": id_}, token=token).status == 403
        assert send("DELETE", place_, token=token).status == 403


# --- delete


def test_a_deleted_resource_is_gone_and_its_earlier_versions_are_not(gateway, send):
    path, _ = place(send("POST", "/Patient", person(gender="male", **of(fresh()))))
    before = count(gateway, t.identifier)
    answer = send("DELETE", path)
    assert (answer.status, answer.body, answer.headers["etag"]) == (204, b"", 'W/"2"')
    assert count(gateway, t.identifier) == before - 1
    gone = send("GET", path)
    assert (gone.status, gone.outcome[0]["code"], gone.headers["etag"]) == (410, "deleted", 'W/"2"')
    assert gone.headers["location"].endswith(f"/fhir{path}/_history/2")
    assert gone.headers["last-modified"]
    assert send("GET", path, If_None_Match='W/"2"').status == 410
    assert send("GET", f"{path}/_history/2").status == 410
    assert send("GET", f"{path}/_history/1").json["gender"] == "male"


def test_deleting_what_is_not_there_writes_nothing(gateway, send):
    path, _ = place(send("POST", "/Patient", person()))
    send("DELETE", path)
    before = count(gateway, t.container)
    again = send("DELETE", path)
    assert (again.status, again.headers["etag"]) == (204, 'W/"2"')
    assert send("DELETE", "/Patient/never-came").status == 204
    assert send("DELETE", "/Patient/never-came", Prefer="return=OperationOutcome").outcome[0]["severity"] == "information"
    assert send("DELETE", "/Patient/never-came", If_Match='W/"1"').status == 412
    assert send("DELETE", f"/Patient?identifier=urn:x|{fresh()}").status == 204
    assert count(gateway, t.container) == before


def test_a_deletion_has_its_preconditions(send):
    name, value = fresh(), fresh()
    path, _ = place(send("PUT", f"/Patient/{name}", person(name, **of(value))))
    assert send("DELETE", f"/Patient/{name}", If_Match='W/"2"').status == 412
    twin, _ = place(send("POST", "/Patient", person(**of(value))))
    assert send("DELETE", f"/Patient?identifier=urn:x|{value}").status == 412
    assert send("DELETE", twin, If_Match='W/"1"').status == 204
    assert send("DELETE", f"/Patient?identifier=urn:x|{value}").headers["etag"] == 'W/"2"'
    assert send("GET", path).status == 410


def test_a_deleted_resource_lives_again_as_the_next_version(send):
    name, value = fresh(), fresh()
    path, _ = place(send("PUT", f"/Patient/{name}", person(name, **of(value))))
    send("DELETE", path)
    again = send("PUT", f"/Patient/{name}", person(name, **of(value)))
    assert (again.status, place(again)) == (201, (path, 3))
    assert send("GET", path).status == 200
    assert send("POST", "/Patient", person(**of(value)), If_None_Exist=f"identifier=urn:x|{value}").headers["location"].endswith("/3")


# --- bundles


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


# --- many at once


def test_many_clients_that_update_one_resource_at_once_each_write_a_version(send):
    name, many = fresh(), 64
    write = lambda n: send("PUT", f"/Patient/{name}", person(name, multipleBirthInteger=n))  # noqa: E731
    with ThreadPoolExecutor(many) as pool:
        answers = list(pool.map(write, range(many)))
    assert Counter(answer.status for answer in answers) == {201: 1, 200: many - 1}
    assert sorted(place(answer)[1] for answer in answers) == list(range(1, many + 1))
    assert len({place(answer)[0] for answer in answers}) == 1
    for number, answer in enumerate(answers):
        path, version = place(answer)
        assert send("GET", f"{path}/_history/{version}").json["multipleBirthInteger"] == number


# --- Idempotency-Key


def test_a_key_is_one_request_and_its_answer(gateway, send):
    key, name = fresh(), fresh()
    sent = person(gender="male")
    first, again = (send("POST", "/Patient", sent, Idempotency_Key=key) for _ in range(2))
    assert (first.status, again.status) == (201, 201)
    assert place(first) == place(again)
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    assert again.headers["last-modified"] == first.headers["last-modified"]
    for method, path, body, more in (
        ("POST", "/Patient", person(gender="female"), {}),
        ("POST", "/Patient", sent, {"If_None_Exist": "identifier=urn:x|1"}),
        ("PUT", f"/Patient/{name}", person(name), {}),
        ("POST", "", bundle("transaction", ("POST", "Patient", sent)), {}),
        ("DELETE", place(first)[0], None, {}),
    ):
        refused = send(method, path, body, Idempotency_Key=key, **more)
        assert (refused.status, refused.outcome[0]["code"]) == (422, "business-rule")
    assert send("POST", "/Patient", sent).headers["location"] != first.headers["location"]
    assert send("POST", "/Patient", sent, Idempotency_Key="é").status == 400
    assert send("POST", "/Patient", sent, Idempotency_Key="x" * 256).status == 400


def test_a_key_is_its_senders(send, other):
    key = fresh()
    assert send("POST", "/Patient", person(gender="male"), Idempotency_Key=key).status == 201
    assert send("POST", "/Patient", person(gender="female"), token=other, Idempotency_Key=key).status == 201


def test_a_named_request_is_not_done_again_though_others_came_between(send):
    name, key = fresh(), fresh()
    first = send("PUT", f"/Patient/{name}", person(name, gender="male"), Idempotency_Key=key)
    send("PUT", f"/Patient/{name}", person(name, gender="female"))
    again = send("PUT", f"/Patient/{name}", person(name, gender="male"), Idempotency_Key=key)
    assert (again.status, place(again), again.headers["idempotent-replay"]) == (201, place(first), "true")
    assert again.headers["last-modified"] == first.headers["last-modified"]
    assert send("GET", place(first)[0]).json["gender"] == "female"
    deletion = {"Idempotency_Key": fresh()}
    path, _ = place(first)
    assert send("DELETE", path, **deletion).headers["etag"] == 'W/"3"'
    send("PUT", f"/Patient/{name}", person(name))
    assert send("DELETE", path, **deletion).headers["etag"] == 'W/"3"'
    assert send("GET", path).headers["etag"] == 'W/"4"'


def test_a_key_that_comes_with_a_repeated_bundle_is_taken(send):
    key, sent = fresh(), bundle("transaction", ("POST", "Patient", person(language=f"x-{fresh()}")))
    first = send("POST", "", sent)
    assert send("POST", "", sent, Idempotency_Key=key).headers["idempotent-replay"] == "true"
    assert send("POST", "", bundle("transaction", ("POST", "Patient", person())), Idempotency_Key=key).status == 422
    send("DELETE", "/" + first.json["entry"][0]["response"]["location"].partition("/_history")[0])
    assert send("POST", "", sent, Idempotency_Key=key).json == first.json
    assert statuses(send("POST", "", sent)) == ["201"]


def test_a_condition_is_part_of_a_named_request_though_nothing_is_written(send):
    key, value = fresh(), fresh()
    send("POST", "/Patient", person(**of(value)))
    condition = {"If_None_Exist": f"identifier=urn:x|{value}", "Idempotency_Key": key}
    assert send("POST", "/Patient", person(**of(value)), **condition).status == 200
    assert send("POST", "/Patient", person(**of(value)), **condition).headers["idempotent-replay"] == "true"
    assert send("POST", "/Patient", person(**of(value)), Idempotency_Key=key).status == 422


def test_a_named_batch_takes_up_what_failed(send):
    key = fresh()
    sent = bundle("batch", ("POST", "Patient", person(language=f"x-{key}")), ("PUT", f"Patient/{key}", person(key), {"ifMatch": 'W/"1"'}))
    first = send("POST", "", sent, Idempotency_Key=key)
    assert statuses(first) == ["201", "412"]
    send("PUT", f"/Patient/{key}", person(key))
    again = send("POST", "", sent, Idempotency_Key=key)
    assert statuses(again) == ["201", "200"]
    assert again.json["entry"][0]["response"]["location"] == first.json["entry"][0]["response"]["location"]
    assert send("POST", "", sent, Idempotency_Key=key).headers["idempotent-replay"] == "true"
    assert send("POST", "", bundle("batch", ("POST", "Patient", person())), Idempotency_Key=key).status == 422
