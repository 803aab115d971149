"""Tombstones: of every type, and like nothing that can be submitted."""

import json

import pytest

from fhir_adapters import RESOURCE_TYPES, InvalidInput, parse_resource, standard_bytes, tombstone
from fhir_adapters.definitions import structure

HEAD = '"id":"' + "a" * 32 + '","meta":{"versionId":"3","lastUpdated":"2026-11-23T04:25:29.123Z","source":"urn:x#1"}'


def made(resource_type):
    resource = tombstone(resource_type)
    return standard_bytes(resource, resource.content({}), "a" * 32, 3, "2026-11-23T04:25:29.123Z", "urn:x#1")


def test_a_tombstone_is_the_head_of_a_record_and_one_element():
    assert made("Observation") == f'{{"resourceType":"Observation",{HEAD},"deleted":true}}'.encode()


@pytest.mark.parametrize("resource_type", sorted(RESOURCE_TYPES))
def test_no_resource_can_be_one(resource_type):
    assert "deleted" not in structure(resource_type).elements
    said = json.loads(made(resource_type))
    assert (said["resourceType"], said["deleted"]) == (resource_type, True)
    with pytest.raises(InvalidInput):
        parse_resource(made(resource_type))


def test_there_is_nothing_in_it_to_find():
    resource = tombstone("Patient")
    assert not resource.references
    assert not resource.patients
    assert not any(getattr(resource.index, name) for name in resource.index.__struct_fields__)
