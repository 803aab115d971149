"""Bundles of the project's own making, for machines without real data and for sizes that real data does not have.

Shaped after Synthea's: one patient, encounters, vital signs, conditions, prescriptions, referring to each other by urn:uuid, in indented
JSON of about 2 kB a resource. The same arguments give the same bytes. Persons and values are invented.
"""

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

Resource = dict[str, Any]

_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_LOINC, _SNOMED, _RXNORM = "http://loinc.org", "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"
_VITAL_SIGNS = (
    ("8302-2", "Body Height", "cm", 150, 195),
    ("29463-7", "Body Weight", "kg", 48, 110),
    ("39156-5", "Body Mass Index", "kg/m2", 18, 36),
    ("8867-4", "Heart rate", "/min", 55, 100),
    ("9279-1", "Respiratory rate", "/min", 12, 18),
    ("8310-5", "Body temperature", "Cel", 36, 38),
)
_CONDITIONS = (("59621000", "Essential hypertension"), ("44054006", "Diabetes mellitus type 2"), ("195662009", "Acute viral pharyngitis"))
_DRUGS = (("314076", "lisinopril 10 MG Oral Tablet"), ("860975", "metformin hydrochloride 500 MG Oral Tablet"))
_FAMILIES = ("Nordvik", "Aalto", "Brennan", "Castell", "Dvorak", "Eriksen", "Ferrante", "Galanis")
_GIVEN = ("Ada", "Bruno", "Celia", "Dario", "Edith", "Felix", "Greta", "Henrik")


def generated_bundle(seed: int, entries: int, bundle_type: str = "transaction") -> bytes:
    """A Bundle of exactly `entries` entries (two at least) about one patient, who differs by `seed`."""
    if entries < 2:
        raise ValueError("a bundle has a patient and something about them")
    person = _Person(random.Random(seed))
    resources = [person.patient, *(resource for resource, _ in zip(person.events(), range(entries - 1), strict=False))]
    bundle = {"resourceType": "Bundle", "type": bundle_type, "entry": [_entry(resource, bundle_type) for resource in resources]}
    return json.dumps(bundle, indent=2).encode()


def _entry(resource: Resource, bundle_type: str) -> Resource:
    entry: Resource = {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
    if bundle_type in {"transaction", "batch"}:
        entry["request"] = {"method": "POST", "url": resource["resourceType"]}
    return entry


class _Person:
    """One invented patient and what happens to them, without end. `chance` decides everything."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._hours = 0
        name = {"use": "official", "family": chance.choice(_FAMILIES), "given": [chance.choice(_GIVEN)]}
        self.patient = self._resource(
            "Patient",
            name=[name],
            gender=chance.choice(("female", "male")),
            birthDate=f"{chance.randint(1930, 2015)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
            identifier=[{"system": "https://ids.example.org/bench", "value": str(self._uuid())}],
            address=[{"line": [f"{chance.randint(1, 200)} Sample Street"], "city": "Exampleton", "country": "XX"}],
        )
        self._subject = {"reference": f"urn:uuid:{self.patient['id']}", "display": f"{name['given'][0]} {name['family']}"}

    def events(self) -> Iterator[Resource]:
        """An encounter and what it gave rise to, and so on."""
        while True:
            self._hours += self._chance.randint(24, 600)
            encounter = self._encounter()
            yield encounter
            seen = {"reference": f"urn:uuid:{encounter['id']}"}
            for vital_sign in _VITAL_SIGNS:
                yield self._vital_sign(seen, *vital_sign)
            yield self._blood_pressure(seen)
            yield self._condition(seen)
            yield self._prescription(seen)

    def _encounter(self) -> Resource:
        return self._resource(
            "Encounter",
            status="finished",
            **{"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}},
            type=[_concept(_SNOMED, "162673000", "General examination of patient (procedure)")],
            subject=self._subject,
            period={"start": self._instant(), "end": self._instant(minutes=30)},
        )

    def _vital_sign(self, encounter: Resource, code: str, display: str, unit: str, low: int, high: int) -> Resource:
        return self._observation(encounter, code, display, valueQuantity=self._quantity(low, high, unit))

    def _blood_pressure(self, encounter: Resource) -> Resource:
        parts = (("8480-6", "Systolic Blood Pressure", 100, 150), ("8462-4", "Diastolic Blood Pressure", 60, 95))
        component = [{"code": _concept(_LOINC, c, d), "valueQuantity": self._quantity(low, high, "mm[Hg]")} for c, d, low, high in parts]
        return self._observation(encounter, "85354-9", "Blood Pressure", component=component)

    def _observation(self, encounter: Resource, code: str, display: str, **value: Any) -> Resource:
        return self._resource(
            "Observation",
            status="final",
            category=[_concept(_CATEGORY, "vital-signs", "vital-signs")],
            code=_concept(_LOINC, code, display),
            subject=self._subject,
            encounter=encounter,
            effectiveDateTime=self._instant(),
            issued=self._instant(),
            **value,
        )

    def _condition(self, encounter: Resource) -> Resource:
        base = "http://terminology.hl7.org/CodeSystem/condition-"
        return self._resource(
            "Condition",
            clinicalStatus=_concept(base + "clinical", "active", "Active"),
            verificationStatus=_concept(base + "ver-status", "confirmed", "Confirmed"),
            category=[_concept(base + "category", "encounter-diagnosis", "Encounter Diagnosis")],
            code=_concept(_SNOMED, *self._chance.choice(_CONDITIONS)),
            subject=self._subject,
            encounter=encounter,
            onsetDateTime=self._instant(),
            recordedDate=self._instant(),
        )

    def _prescription(self, encounter: Resource) -> Resource:
        return self._resource(
            "MedicationRequest",
            status="active",
            intent="order",
            medicationCodeableConcept=_concept(_RXNORM, *self._chance.choice(_DRUGS)),
            subject=self._subject,
            encounter=encounter,
            authoredOn=self._instant(),
            dosageInstruction=[{"sequence": 1, "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}}],
        )

    def _resource(self, resource_type: str, **fields: Any) -> Resource:
        told = " ".join(f"Recorded as item {self._chance.randint(1, 999)} of the day's list." for _ in range(11))
        text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{resource_type}. {told}</div>'}
        return {"resourceType": resource_type, "id": str(self._uuid()), "text": text, **fields}

    def _quantity(self, low: int, high: int, unit: str) -> Resource:
        value = round(self._chance.uniform(low, high), 4)
        return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}

    def _instant(self, minutes: int = 0) -> str:
        """`_hours` after the start of 2001, in a calendar of months of 28 days, so that every date exists."""
        days, hour = divmod(self._hours, 24)
        months, day = divmod(days, 28)
        years, month = divmod(months, 12)
        return f"{2001 + years % 22}-{month + 1:02}-{day + 1:02}T{hour:02}:{minutes:02}:00+01:00"

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self._chance.getrandbits(128), version=4)


def _concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}
