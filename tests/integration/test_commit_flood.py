"""Sixty-four clients at once, with good, bad and repeated bodies, and a bucket that fails: nobody gets another's answer, nothing is twice."""

import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from intake_case import add_party, open_services, post, transaction
from simulator import SimulatedObjectStore
from sqlalchemy import func, select

from fhir_adapters import InvalidInput
from gateway.errors import Unavailable
from gateway.index import containers
from gateway.index import schema as t

CLIENTS, REQUESTS = 64, 12


@pytest.mark.campaign
def test_a_flood_of_good_and_bad_and_repeated(tmp_path):
    store, chance = SimulatedObjectStore(), random.Random(7)
    store.fail("put_if_absent", *(chance.choice(["slow", "slow", "slow", "lost", "kept"]) for _ in range(60)))
    services = open_services(tmp_path, store)
    parties = [add_party(services, f"hospital-{number:08}", seed=bytes([number]) * 32) for number in range(1, 4)]
    alone, repeated = [], defaultdict(set)

    def one_request(rng, party):
        kind, number = rng.choice(["alone", "alone", "bad", "key", "bundle"]), rng.randrange(5)
        if kind == "alone":
            alone.append((party.row, post(services, party, {"resourceType": "Patient"}, "Patient").results[0].reference))
        elif kind == "bad":
            with pytest.raises(InvalidInput):
                post(services, party, {"resourceType": "Patient", "birthDate": "never"}, "Patient")
        elif kind == "key":
            patient = {"resourceType": "Patient", "multipleBirthInteger": number + 1}
            answer = post(services, party, patient, "Patient", idempotency_key=f"key-{number}")
            repeated[party.row, kind, number].add(answer.results[0].reference)
        else:
            entries = [(f"urn:uuid:{number:08}-0000-4000-8000-{n:012}", {"resourceType": "Patient"}) for n in range(3)]
            answer = post(services, party, transaction(*entries))
            repeated[party.row, kind, number].add(tuple(result.reference for result in answer.results))

    def client(number):
        rng = random.Random(number)
        for _ in range(REQUESTS):
            with suppress(Unavailable):
                one_request(rng, rng.choice(parties))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    given = [reference for _, reference in alone]
    assert len(given) == len(set(given)) > 100
    assert {len(answers) for answers in repeated.values()} == {1}
    with services.index.reading() as connection:
        issuers = dict(connection.execute(select(t.resource.c.row, t.resource.c.issuer)).all())
        kept = {row.name for row in containers.after(connection, 0, 10_000)}
        numbers = select(func.count(), func.max(t.bundle.c.number)).group_by(t.bundle.c.archive)
        assert all(count == last for count, last in connection.execute(numbers))
    of_party = dict(zip(services.ids.encode(list(issuers)), issuers.values(), strict=True))
    assert all(of_party[reference.partition("/")[2]] == party for party, reference in alone)
    assert kept <= {item.name for item in store.list()}
    services.index.close()
