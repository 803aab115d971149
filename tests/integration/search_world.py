"""A gateway to search in: two hospitals, two patients who sign in, an insurer; and a client that follows next links."""

import json
import os
import time
from importlib import resources

import web_gateway
from consent_case import optin
from web_gateway import new_key

from gateway.index import archives, parties

KEY = new_key()
FHIR = "application/fhir+json"
DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_text()
UNKNOWN = "0" * 32


class World:
    """A gateway where two hospitals know Anna and Bert, who sign in; an insurer has asked for nothing yet."""

    def __init__(self, running):
        self.services, self.client, self.insurer = running.services, running.client, running.agency
        self.other = web_gateway._register(running.services, "Other", 1, [KEY])
        self.tokens = {"hospital": running.client.token(KEY, running.hospital), "other": running.client.token(KEY, self.other)}
        self.tokens["insurer"] = running.client.token(KEY, running.agency, "system/*.rs")
        self.records = {name: self.push("hospital", self.demo(name)) for name in ("anna", "bert")}
        self.patients = {name: next(r for r in found if r.startswith("Patient/")) for name, found in self.records.items()}
        for name in self.patients:
            self.enrol(name)

    def demo(self, name):
        return DEMO if name == "anna" else DEMO.replace("5b1f0c9e", "00000001").replace("DEMO-4471", "BERT-2")

    def push(self, who, bundle):
        answer = self.client.ask("POST", "/fhir", bundle.encode(), self.tokens[who], Content_Type=FHIR)
        assert answer.status == 200, answer.body
        return [entry["response"]["location"].partition("/_history")[0] for entry in answer.json["entry"]]

    def enrol(self, name):
        row = self.services.ids.decode(self.patients[name].partition("/")[2])
        jwks = {"keys": [KEY.as_dict(private=False)]}
        with self.services.index.atomic() as connection:
            archive = archives.of_patient_resources(connection, [row]).pop()
            parties.enrol_patient(
                connection, client_id=f"patient-{name}", archive=archive, jwks=jwks, signing_key=os.urandom(32), now=int(time.time())
            )
        self.tokens[name] = self.client.token(KEY, f"patient-{name}", "patient/*.rs patient/Consent.c")

    def create(self, who, resource):
        path = f"/fhir/{resource['resourceType']}"
        answer = self.client.ask("POST", path, json.dumps(resource).encode(), self.tokens[who], Content_Type=FHIR)
        assert answer.status == 201, answer.body
        return answer.headers["location"].partition("/fhir/")[2].partition("/_history")[0]

    def ask(self, who, query, method="GET", body=None, **headers):
        return self.client.ask(method, f"/fhir/{query}", body, self.tokens[who], **headers)

    def search(self, who, query, **headers):
        """References found, over all pages."""
        found, path = [], query
        while path:
            answer = self.ask(who, path, **headers)
            assert answer.status == 200, answer.body
            found += references(answer)
            path = link(answer, "next")
        return found

    def grant(self, name, **terms):
        return self.grant_to(name, self.insurer, **terms)

    def grant_to(self, name, grantee, **terms):
        body = json.dumps(optin(grantee, **terms)).encode()
        answer = self.client.ask("POST", "/fhir/Consent", body, self.tokens[name], Content_Type=FHIR)
        assert answer.status in (200, 201), answer.body
        return answer.headers["location"].partition("/fhir/")[2].partition("/_history")[0]

    def revoke(self, name, consent):
        assert self.ask(name, f"{consent}/$revoke", "POST").status == 200


def references(answer, mode="match"):
    return [entry["fullUrl"].partition("/fhir/")[2] for entry in answer.json.get("entry", []) if entry["search"]["mode"] == mode]


def link(answer, relation):
    return next((one["url"].partition("/fhir/")[2] for one in answer.json["link"] if one["relation"] == relation), None)


def observation(patient, code="8302-2", when="2024-05-01", system="http://loinc.org", **more):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": patient},
        "effectiveDateTime": when,
    } | more


def of_type(records, kind):
    return sorted(record for record in records if record.startswith(f"{kind}/"))
