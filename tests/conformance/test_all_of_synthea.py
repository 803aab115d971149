"""Every Synthea bundle there is, through a running gateway: none refused, none lost, none doubled, each with a receipt that verifies."""

import json

import pytest
from gateway_process import served
from real_data import ABSENT, synthea_bundles

from gateway import verification

BUNDLES = sorted(synthea_bundles(), key=lambda path: not path.name.startswith("0-"))  # what the others refer to comes first
pytestmark = [pytest.mark.conformance, pytest.mark.skipif(not BUNDLES, reason=ABSENT), pytest.mark.timeout(900)]


def test_all_of_it_goes_in_once_and_is_proven(tmp_path):
    with served(tmp_path, "--shared-system", "https://github.com/synthetichealth/synthea") as gateway:
        hospital = gateway.party()
        told = gateway.json("push", "--as", hospital, *BUNDLES)
        entries = sum(len(json.loads(path.read_bytes())["entry"]) for path in BUNDLES)
        assert (told["resources"], told["failed"]) == (entries, 0)
        assert told["created"] + told["updated"] + told["unchanged"] == entries == len(told["receipts"])
        names = {receipt["record"] for receipt in told["receipts"]}
        assert len(names) == told["created"], "each created resource has an id of its own; the rest were met again"
        again = gateway.json("push", "--as", hospital, *BUNDLES)
        assert (again["created"], again["unchanged"], again["failed"]) == (0, entries, 0)
        gateway.wait_final()
        connection, genesis = gateway.connect(hospital), (gateway.home / "genesis.json").read_bytes()
        for name in sorted(names):
            record = connection.ask("GET", f"/fhir/{name}")
            receipt = connection.ask("GET", f"/ledger/receipts/{name}")
            assert (record.status, receipt.status) == (200, 200), name
            verification.verify_receipt(receipt.body, genesis, record.body)
        connection.close()
        report = gateway.json("audit", "run")
        assert (report["findings"], report["could_not_check"]) == ([], [])
