"""What is pushed when measuring: generated bundles, and bundles from a folder."""

import pytest

from benchmarks.generated_bundle import generated_bundle
from benchmarks.workload import NoWorkload, entries_of, load
from fhir_adapters import check_text, parse_resource, split_bundle


@pytest.mark.parametrize("entries", [2, 57])
def test_a_generated_bundle_has_the_entries_asked_for_and_every_one_is_valid(entries):
    bundle = split_bundle(check_text(generated_bundle(3, entries)))
    assert len(bundle.entries) == entries == entries_of(generated_bundle(3, entries))
    for entry in bundle.entries:
        assert parse_resource(entry.resource).type == entry.url


def test_every_reference_of_a_generated_bundle_leads_to_an_entry_of_it():
    entries = split_bundle(generated_bundle(4, 200)).entries
    named = {entry.full_url for entry in entries}
    assert len(named) == 200
    assert {reference for entry in entries for reference in parse_resource(entry.resource).references} <= named


def test_the_same_seed_gives_the_same_bytes_and_another_another_patient():
    assert generated_bundle(5, 30) == generated_bundle(5, 30)
    assert generated_bundle(5, 30) != generated_bundle(6, 30)


def test_a_large_generated_bundle_weighs_about_2_kb_a_resource():
    assert 1900 < len(generated_bundle(0, 500)) / 500 < 2200


def test_a_folder_gives_its_bundles_and_those_that_others_refer_to_go_first(tmp_path):
    (tmp_path / "b.json").write_bytes(generated_bundle(1, 5))
    (tmp_path / "0-hospitals.json").write_bytes(generated_bundle(2, 4))
    (tmp_path / "patient.json").write_text('{"resourceType": "Patient"}')
    (tmp_path / "broken.json").write_text("{")
    found = load(tmp_path)
    assert (len(found.shared), len(found.bundles), found.resources) == (1, 1, 9)
    assert entries_of(found.all[0]) == 4


def test_fewer_bundles_are_counted_anew(tmp_path):
    for number in range(3):
        (tmp_path / f"b{number}.json").write_bytes(generated_bundle(number, 5))
    assert load(tmp_path).first(2).resources == 10


def test_a_folder_without_bundles_is_named(tmp_path):
    with pytest.raises(NoWorkload, match=tmp_path.name):
        load(tmp_path)
