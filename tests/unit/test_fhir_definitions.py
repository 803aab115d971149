"""What is read from the models' metadata, and what other modules take for granted about it."""

from fhir_adapters.definitions import RESOURCE_TYPES, UNSUPPORTED_TYPES, structure


def all_structures():
    waiting, seen = sorted(RESOURCE_TYPES), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield structure(name)
            waiting += [e.type for e in structure(name).elements.values() if not e.is_primitive and e.type != "Resource"]


def test_all_of_r4_is_either_taken_or_named_as_not_taken():
    assert len(RESOURCE_TYPES) + len(UNSUPPORTED_TYPES) == 126 + 20
    assert not RESOURCE_TYPES & UNSUPPORTED_TYPES


def test_no_code_list_is_cut_short_and_no_element_is_newer_than_r4():
    for definition in all_structures():
        for element in definition.elements.values():
            assert not element.codes or not {"+", "etc.", "..."} & set(element.codes), (definition.name, element.name)
            assert element.type not in {"CodeableReference", "RatioRange"}


def test_elements_called_reference_are_known():
    """Literals are found in bytes by this key: a new element of this name must be thought about."""
    strings = {d.name for d in all_structures() if (e := d.elements.get("reference")) and e.is_primitive}
    assert strings == {"Reference", "DetectedIssue", "Expression", "ImmunizationEducation"}


def test_an_observation():
    elements = structure("Observation").elements
    assert elements["status"].codes is not None
    assert "entered-in-error" in elements["status"].codes
    assert elements["status"].is_required
    assert elements["code"].is_required
    assert elements["subject"].targets == (
        "Device",
        "Group",
        "Location",
        "Medication",
        "Organization",
        "Patient",
        "Practitioner",
        "Procedure",
        "Substance",
    )
    assert elements["focus"].targets is None
    assert structure("Observation").choices["value"][0][0] == "valueBoolean"
    assert structure("Encounter").elements["class"].type == "Coding"
