"""What tests write over HTTP, and read from the answers."""

import uuid

from sqlalchemy import func, select
from web_gateway import new_key

KEY = new_key()  # of every party for sign-in
FHIR = "application/fhir+json"


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
