"""The header Idempotency-Key: one request is done once, and answered alike."""

from written import bundle, fresh, of, person, place, statuses


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
