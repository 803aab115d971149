"""All of the real data: nothing that is right is refused, and what others' validators refuse is caught as far as it is ours to catch."""

import json
from collections import Counter

import pytest
import real_data

from fhir_adapters import InvalidInput, check_text, parse_resource, split_bundle
from fhir_adapters.document import Number, read_document

pytestmark = [pytest.mark.conformance, pytest.mark.skipif(real_data.develop_folder() is None, reason=real_data.ABSENT)]

# HL7's own examples that this R4 does not take, and why.
NOT_TAKEN = {
    "EffectEvidenceSynthesis-example.json": "not-supported",
    "Evidence-example.json": "not-supported",
    "MedicinalProductIngredient-example.json": "not-supported",
    "MedicinalProductPackaged-example.json": "not-supported",
    "MedicinalProductPharmaceutical-example.json": "not-supported",
    "RiskEvidenceSynthesis-example.json": "not-supported",
    "Questionnaire-qs1.json": "required",  # items without the linkId that R4 requires
}


def codes_of(body: bytes) -> set[str]:
    try:
        parse_resource(check_text(body))
    except InvalidInput as refused:
        return {issue.code for issue in refused.issues}
    return set()


def same(sent, kept) -> bool:
    """Equality in which 1.0 and 1.00 differ."""
    if isinstance(sent, dict):
        return isinstance(kept, dict) and sent.keys() == kept.keys() and all(same(sent[key], kept[key]) for key in sent)
    if isinstance(sent, list):
        return isinstance(kept, list) and len(sent) == len(kept) and all(map(same, sent, kept))
    return sent == kept and isinstance(sent, Number) == isinstance(kept, Number)


def test_all_of_synthea_is_taken_and_nothing_lost():
    seen = Counter()
    for path in real_data.synthea_bundles():
        for entry in split_bundle(check_text(path.read_bytes())).entries:
            resource = parse_resource(entry.resource)
            sent, kept = read_document(entry.resource), read_document(resource.content({}))
            for document in (sent, kept):
                document.pop("id", None)
                for name in ("versionId", "lastUpdated", "source"):
                    document.get("meta", {}).pop(name, None)
            kept = {**kept} if kept["meta"] or "meta" in sent else {name: kept[name] for name in kept if name != "meta"}
            assert same(sent, kept), (path.name, entry.index)
            seen[resource.type] += 1
    assert seen.total() == 12_057


def test_the_spec_examples():
    refused = {path.name: codes for path in real_data.files("spec-r4-4.0.1-examples/*.json") if (codes := codes_of(path.read_bytes()))}
    assert refused == {name: {code} for name, code in NOT_TAKEN.items()}


def test_hl7_validator_cases():
    """JSON cases for R4 that need no profile, against the verdicts of HL7's Java validator. What is missed needs terminology, profiles or resolution."""
    verdicts = Counter()
    (index,) = real_data.files("hl7-fhir-test-cases-validator/INDEX.json")
    for case in json.loads(index.read_bytes()):
        path = index.parent / case["file"]
        if case["version"].startswith("4.0") and not case["needs_profile"] and path.suffix == ".json" and path.exists():
            is_comment = case["module"] == "json5"  # comments are no JSON, and FHIR has no other
            if not is_comment:
                verdicts["good" if case["java_errors"] == 0 else "bad", bool(codes_of(path.read_bytes()))] += 1
    assert verdicts["good", True] == 0
    assert verdicts["bad", True] >= 20
