"""Searching over HTTP: what is found, what nobody else sees, and what is refused."""

import json
import threading
import time
from urllib.parse import quote, urlencode

import pytest
import real_data
import web_gateway
from fhir.resources.R4B.bundle import Bundle
from search_world import DEMO, FHIR, KEY, UNKNOWN, World, link, observation, of_type, references

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        yield World(running)


def test_an_institution_finds_all_that_it_issued_by_type(world):
    both = [*world.records["anna"], *world.records["bert"]]
    for kind in {record.partition("/")[0] for record in both}:
        found = world.search("hospital", f"{kind}?_count=2")
        assert sorted(set(found)) == sorted(found)
        assert set(of_type(both, kind)) <= set(found)


def test_a_page_is_a_valid_bundle_of_committed_bytes_without_a_total(world):
    answer = world.ask("hospital", f"Observation?patient={world.patients['anna']}")
    Bundle.model_validate(answer.json)
    assert answer.headers["content-type"] == FHIR
    assert answer.headers["cache-control"] == "no-store"
    assert "total" not in answer.json
    for entry in answer.json["entry"]:
        reference = entry["fullUrl"].partition("/fhir/")[2]
        assert world.ask("hospital", reference).body in answer.body
        assert entry["search"] == {"mode": "match"}
        assert entry["link"][0]["url"].endswith(f"/ledger/receipts/{reference}/_history/1")


def test_a_patient_is_named_by_any_of_its_names(world):
    expected = of_type(world.records["anna"], "Observation")
    id_ = world.patients["anna"].partition("/")[2]
    source = json.loads(DEMO)["entry"][[e["resource"]["resourceType"] for e in json.loads(DEMO)["entry"]].index("Patient")]["fullUrl"]
    for name in (id_, f"Patient/{id_}", f"{world.client.url}/fhir/Patient/{id_}", source, source.removeprefix("urn:uuid:")):
        assert sorted(world.search("hospital", f"Observation?patient={quote(name)}")) == expected, name
    assert sorted(world.search("hospital", f"Observation?subject=Patient/{id_}")) == expected
    assert sorted(world.search("hospital", f"Observation?patient:Patient={id_}")) == expected


def test_another_servers_patient_is_another(world):
    five = world.create("hospital", {"resourceType": "Patient", "id": "five"})
    record = world.create("hospital", observation(five))
    assert world.search("hospital", "Observation?patient=five") == [record]
    theirs = world.create("hospital", observation("https://elsewhere.example.org/fhir/Patient/five"))
    url = quote("https://elsewhere.example.org/fhir/Patient/five")
    assert world.search("hospital", f"Observation?patient={url}") == [theirs]
    assert world.ask("hospital", f"Observation?patient={quote('https://nowhere.example.org/Patient/five')}").status == 403


def test_by_identifier_and_by_id(world):
    anna = world.patients["anna"]
    identifier = quote("https://ids.example.org/person|DEMO-4471")
    assert world.search("hospital", f"Patient?identifier={identifier}") == [anna]
    assert world.search("hospital", f"Patient?identifier={quote('|DEMO-4471')}") == []
    assert world.search("hospital", f"Patient?_id={anna.partition('/')[2]},{UNKNOWN}") == [anna]
    assert world.search("hospital", f"Patient?_id={UNKNOWN}") == []
    bert = world.patients["bert"].partition("/")[2]
    assert world.search("hospital", f"Patient?_id={bert}&identifier={identifier}") == []
    assert world.ask("hospital", f"Observation?patient={bert}&patient={anna}").status == 403
    assert world.search("hospital", f"Observation?_id={anna.partition('/')[2]}") == []
    refused = world.ask("hospital", "Patient?identifier=DEMO-4471")
    assert (refused.status, refused.outcome[0]["code"]) == (400, "not-supported")


def test_by_any_coding_of_any_category_and_of_the_code(world):
    patient = world.create("hospital", {"resourceType": "Patient"})

    def found(query):
        return world.search("hospital", f"Observation?patient={patient}&{query}")

    several = [{"coding": [{"system": "urn:a", "code": "first"}, {"system": "urn:b", "code": "second"}]}, {"coding": [{"code": "third"}]}]
    codings = {"coding": [{"system": "urn:c", "code": "one"}, {"system": "urn:d", "code": "two"}]}
    rich = world.create("hospital", observation(patient, when="2024-12-30", category=several) | {"code": codings})
    for query in (
        "category=first",
        "category=second",
        "category=third",
        f"category={quote('urn:b|second')}",
        f"category={quote('|third')}",
    ):
        assert found(query) == [rich], query
    for query in ("code=one", "code=two", f"code={quote('urn:d|two')}"):
        assert found(query) == [rich], query
    assert found(f"category={quote('urn:a|second')}") == found(f"code={quote('urn:c|two')}") == []


def test_by_code_category_and_date(world):
    patient = world.create("hospital", {"resourceType": "Patient"})
    vital = {"category": [{"coding": [{"system": "urn:cat", "code": "vital-signs"}]}]}
    may = world.create("hospital", observation(patient, "8302-2", "2024-05-01", **vital))
    june = world.create("hospital", observation(patient, "8302-2", "2024-06-01T10:00:00Z", system="urn:mine"))
    other = world.create("hospital", observation(patient, "718-7", "2025-01-01"))
    period = world.create(
        "hospital",
        {k: v for k, v in observation(patient, "p", effectivePeriod={"start": "2023-01-01"}).items() if k != "effectiveDateTime"},
    )
    undated = world.create("hospital", {k: v for k, v in observation(patient, "u").items() if k != "effectiveDateTime"})

    def found(query):
        return world.search("hospital", f"Observation?patient={patient}&{query}")

    assert found("code=8302-2") == [may, june]
    assert found(f"code={quote('http://loinc.org|8302-2')}") == [may]
    assert found(f"code={quote('urn:mine|8302-2')},718-7") == [june, other]
    assert found(f"code={quote('|8302-2')}") == []
    assert found("code=8302-2&code=718-7") == []
    assert found("category=vital-signs") == found(f"category={quote('urn:cat|vital-signs')}") == [may]
    assert found(f"category={quote('urn:x|vital-signs')}") == []
    assert found("date=2024-05-01") == found("date=2024-05") == [may]
    assert found("date=2024") == [may, june]
    assert found("date=ge2024-06-01") == [june, other, period]
    assert found("date=gt2024-06-01") == [other, period]
    assert found("date=lt2024-06-01") == [may, period]
    assert found("date=le2024-06-01T10:00:00Z") == [may, june, period]
    assert found("date=ge2024-05-01&date=lt2024-06-01") == [may, period]
    assert undated in found("_count=50")


def test_one_looks_through_all_that_is_ones_own_a_part_at_a_time(world, monkeypatch):
    monkeypatch.setattr("gateway.index.search.MAX_LOOKED_AT", 3)
    dates = [f"19{year}-01-01" for year in (70, 80, 80, 90, 80, 70, 70, 90, 80)]
    made = {name: world.create("other", {"resourceType": "Observation", **observation("Patient/o1", when=name)}) for name in dates}
    assert made["1990-01-01"] in world.search("other", "Observation?date=1990")
    assert len(world.search("other", "Observation?date=1980")) == 4
    first = world.ask("other", "Observation?date=2030")
    assert (references(first), link(first, "next") is None) == ([], False)
    assert world.search("other", "Observation?date=2030") == []


def test_codes_need_a_patient(world):
    for query in ("Observation?code=8302-2", "Observation?category=laboratory"):
        refused = world.ask("hospital", query)
        assert (refused.status, refused.outcome[0]["code"]) == (400, "too-costly")
    assert world.ask("anna", "Observation?code=8302-2").status == 200


def test_a_patient_finds_the_own_archive_and_nothing_else(world):
    kinds = {record.partition("/")[0] for record in world.records["anna"]} - {"Consent"}
    found = [record for kind in kinds for record in world.search("anna", f"{kind}?_count=3")]
    own = [record for record in world.records["anna"] if not record.startswith(("Practitioner/", "Organization/"))]
    assert set(own) <= set(found)
    assert not set(found) & set(world.records["bert"])
    foreign = world.ask("anna", f"Observation?patient={world.patients['bert']}")
    unknown = world.ask("anna", f"Observation?patient={UNKNOWN}")
    assert (foreign.status, foreign.body) == (403, unknown.body)


def test_what_is_about_a_further_patient_is_not_the_patients_alone(world):
    shared = world.create("hospital", observation(world.patients["anna"], performer=[{"reference": world.patients["bert"]}]))
    assert shared in world.search("hospital", f"Observation?patient={world.patients['anna']}")
    assert shared not in world.search("anna", "Observation")
    assert shared not in world.search("bert", "Observation")
    consent = world.grant("anna")
    assert shared not in world.search("insurer", "Observation", X_Purpose_Of_Use="HPAYMT")
    world.revoke("anna", consent)


def test_another_institution_finds_nothing_of_it(world):
    named, unknown = (world.ask("other", f"Observation?patient={p}") for p in (world.patients["anna"], UNKNOWN))
    assert (named.status, named.body) == (403, unknown.body)
    assert world.search("other", "Patient") == []
    identifier = quote("https://ids.example.org/person|DEMO-4471")
    assert world.search("other", f"Patient?identifier={identifier}") == []
    assert world.search("other", f"Patient?_id={world.patients['anna'].partition('/')[2]}") == []


def test_deleted_is_gone_from_every_search(world):
    patient = world.create("hospital", {"resourceType": "Patient"})
    record = world.create("hospital", observation(patient))
    queries = (
        f"Observation?patient={patient}",
        f"Observation?_id={record.partition('/')[2]}",
        f"Observation?patient={patient}&code=8302-2",
    )
    assert [world.search("hospital", query) for query in queries] == [[record]] * 3
    assert world.ask("hospital", record, "DELETE").status in (200, 204)
    assert [world.search("hospital", query) for query in queries] == [[]] * 3


def test_a_grantee_finds_what_was_granted_for_its_purpose_until_the_revoke(world):
    anna, observations = world.patients["anna"], of_type(world.records["anna"], "Observation")
    query = f"Observation?patient={anna}"
    refused = [
        world.ask("insurer", query, X_Purpose_Of_Use="HPAYMT"),
        world.ask("insurer", f"Observation?patient={UNKNOWN}", X_Purpose_Of_Use="HPAYMT"),
        world.ask("insurer", "Observation", X_Purpose_Of_Use="HPAYMT"),
        world.ask("insurer", observations[0], X_Purpose_Of_Use="HPAYMT"),
    ]
    assert {(answer.status, answer.body) for answer in refused} == {(403, refused[0].body)}
    consent = world.grant("anna")
    paid = {"X_Purpose_Of_Use": "HPAYMT"}
    assert set(observations) <= set(world.search("insurer", query, **paid))
    assert set(observations) <= set(world.search("insurer", "Observation?_count=1", **paid))
    assert world.search("insurer", f"{query}&code=x", **paid) == []
    assert world.ask("insurer", observations[0], **paid).status == 200
    assert not set(world.search("insurer", "Observation", **paid)) & set(world.records["bert"])
    bert = of_type(world.records["bert"], "Observation")[0]
    assert world.search("insurer", f"Observation?_id={bert.partition('/')[2]}", **paid) == []
    for refusal in (
        world.ask("insurer", f"Condition?patient={anna}", **paid),
        world.ask("insurer", query, X_Purpose_Of_Use="TREAT"),
        world.ask("insurer", f"Observation?patient={world.patients['bert']}", **paid),
        world.ask("insurer", of_type(world.records["anna"], "Condition")[0], **paid),
        world.ask("insurer", bert, **paid),
    ):
        assert (refusal.status, refusal.body) == (403, refused[0].body)
    for stated in ({}, {"X_Purpose_Of_Use": "BTG"}, {"X_Purpose_Of_Use": "fun"}):
        assert world.ask("insurer", query, **stated).status == 403
    assert "state what for" in world.ask("insurer", query).outcome[0]["diagnostics"]
    page = world.ask("insurer", f"{query}&_count=1", **paid)
    world.revoke("anna", consent)
    assert world.ask("insurer", link(page, "next"), **paid).status == 403
    assert world.ask("insurer", query, **paid).status == 403
    assert world.ask("insurer", observations[0], **paid).status == 403


def test_nothing_that_was_revoked_while_a_page_was_opened_leaves(world, monkeypatch):
    consent = world.grant("bert")
    anchored = type(world.services.anchored)
    opened = anchored.record

    def revoked_meanwhile(self, *arguments):
        if threading.current_thread() not in revoking:
            revoking.add(threading.current_thread())
            thread = threading.Thread(target=world.revoke, args=("bert", consent))
            revoking.add(thread)
            thread.start()
            thread.join()
        return opened(self, *arguments)

    revoking = set()
    monkeypatch.setattr(anchored, "record", revoked_meanwhile)
    answer = world.ask("insurer", f"Observation?patient={world.patients['bert']}", X_Purpose_Of_Use="HPAYMT")
    assert revoking
    assert answer.status == 403
    consent = world.grant("bert", purposes=("HPAYMT", "TREAT"))
    revoking.clear()
    record = of_type(world.records["bert"], "Observation")[0]
    assert world.ask("insurer", record, X_Purpose_Of_Use="TREAT").status == 403
    assert revoking


def test_nothing_is_disclosed_once_a_revoke_was_answered(world):
    consent = world.grant("anna")
    query = f"Observation?patient={world.patients['anna']}&_count=2"
    page = link(world.ask("insurer", query, X_Purpose_Of_Use="HPAYMT"), "next")
    answered, answers = threading.Event(), []

    def read(path):
        for _ in range(12):
            revoked_before = answered.is_set()
            answers.append((revoked_before, world.ask("insurer", path, X_Purpose_Of_Use="HPAYMT").status))

    readers = [threading.Thread(target=read, args=(path,)) for path in (query, page) * 8]
    for reader in readers:
        reader.start()
    world.revoke("anna", consent)
    answered.set()
    for reader in readers:
        reader.join()
    assert {status for _, status in answers} <= {200, 403}
    assert {status for revoked, status in answers if revoked} == {403}


def test_every_record_once_while_others_push(world):
    patient = world.create("hospital", {"resourceType": "Patient"})
    entries = [{"resource": observation(patient, str(i)), "request": {"method": "POST", "url": "Observation"}} for i in range(60)]
    before = world.push("hospital", json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}))
    stop = threading.Event()

    def push_on():
        while not stop.is_set():
            world.create("hospital", observation(patient, "new"))
            changed = observation(patient, "0", when="2001-01-01", id=before[0].partition("/")[2])
            changed["issued"] = f"2020-01-01T00:00:{time.time() % 60:06.3f}Z"
            world.ask("hospital", before[0], "PUT", json.dumps(changed).encode(), Content_Type=FHIR)

    pushing = threading.Thread(target=push_on)
    pushing.start()
    try:
        found = world.search("hospital", f"Observation?patient={patient}&_count=7")
    finally:
        stop.set()
        pushing.join()
    assert len(found) == len(set(found))
    assert set(before) <= set(found)


def test_next_links_are_bound(world):
    page = world.ask("hospital", f"Observation?patient={world.patients['anna']}&_count=1")
    following = link(page, "next")
    assert world.patients["anna"].partition("/")[2] not in following
    assert world.ask("hospital", following).status == 200
    assert len(references(world.ask("hospital", following))) == 1
    for who, path in (
        ("other", following),
        ("hospital", following[:-4] + ("AAAA" if following[-4:] != "AAAA" else "BBBB")),
        ("hospital", following + "&_count=1000"),
        ("hospital", following + "&" + following.partition("?")[2]),
        ("hospital", following.replace("Observation", "Condition")),
        ("hospital", "Observation?_cursor="),
    ):
        refused = world.ask(who, path)
        assert (refused.status, refused.outcome[0]["code"]) == (400, "value"), path


def test_a_search_by_form_is_the_same(world):
    patient = world.patients["anna"]
    asked = urlencode({"patient": patient, "_count": "2"}).encode()
    answer = world.ask("hospital", "Observation/_search", "POST", asked, Content_Type=FORM)
    assert references(answer) == references(world.ask("hospital", f"Observation?patient={patient}&_count=2"))
    assert world.ask("hospital", link(answer, "next")).status == 200
    assert world.ask("hospital", "Observation/_search", "POST", b"{}", Content_Type=FHIR).status == 415
    assert world.ask("hospital", "Observation/_search", "POST", b"a=" + b"b" * 100_000, Content_Type=FORM).status == 413


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("Observation?_count=99999999999999", 200),
        ("Observation?_count=" + "9" * 30, 400),
        ("Observation?patient=%27%20OR%201=1--", 403),
        ("Observation?_id=%27;DROP%20TABLE%20resource;--", 200),
        ("Observation?_id=%00", 200),
        ("Observation?date=%ED%A0%80", 400),
        ("Observation?%FF=1", 400),
        ("Patient?identifier=%F0%9F%92%A9%7C%F0%9F%92%A9", 200),
        ("Observation?patient=%F0%9F%92%A9", 403),
        ("Observation?" + "a=1&" * 800, 400),
        ("Observation?_sort=-date", 400),
        ("Observation?code:text=x", 400),
        ("Teapot?x=1", 404),
        ("Observation?_format=xml", 406),
    ],
)
def test_hostile_parameters_get_an_outcome(world, query, status):
    answer = world.ask("hospital", query)
    assert answer.status == status, answer.body
    if status >= 400:
        assert answer.outcome


def test_ten_thousand_parameters_by_form(world):
    answer = world.ask("hospital", "Observation/_search", "POST", b"a=1&" * 10_000, Content_Type=FORM)
    assert (answer.status, answer.outcome[0]["code"]) == (400, "too-costly")


def test_strict_handling_refuses_what_is_unknown(world):
    answer = world.ask("hospital", "Observation?colour=red&_count=1")
    assert link(answer, "self") == "Observation?_count=1"
    refused = world.ask("hospital", "Observation?colour=red", Prefer="return=minimal, handling=strict")
    assert (refused.status, refused.outcome[0]["code"]) == (400, "not-supported")


def test_a_scope_for_reading_is_none_for_searching(world):
    token = world.client.token(KEY, world.insurer, "system/*.r")
    assert world.client.ask("GET", "/fhir/Observation", token=token).status == 403
    assert world.client.ask("GET", "/fhir/Observation").status == 401


def test_other_methods_are_named(world):
    answer = world.ask("hospital", "Observation/_search", "PATCH")
    assert answer.status == 405
    assert answer.outcome


@pytest.mark.skipif(not real_data.ARCHIVE.exists(), reason=real_data.ABSENT)
def test_real_patients_are_found_whole(world):
    texts = sorted((path.read_text() for path in real_data.synthea_bundles()), key=len)
    for text in [text for text in texts if "?identifier=" not in text and '"Patient"' in text][:4]:
        records = world.push("hospital", text)
        patient = next(record for record in records if record.startswith("Patient/"))
        for kind in {record.partition("/")[0] for record in records} - {"Practitioner", "Organization", "Location"}:
            assert sorted(world.search("hospital", f"{kind}?patient={patient}&_count=50")) == of_type(set(records), kind)
