"""Updating and deleting a resource over HTTP."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from written import FHIR, KEY, bundle, count, fresh, of, person, place, statuses

from gateway.index import archives, parties
from gateway.index import schema as t

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
