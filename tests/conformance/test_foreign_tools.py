"""Checkpoint, tiles, entries, policy and tlog-proof of a running gateway, checked by others' code: tests/foreign/main.go."""

import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from gateway_process import served

FOREIGN = Path(__file__).parent.parent / "foreign"
DEMO = Path(str(resources.files("gateway").joinpath("assets/demo-bundle.json")))
pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The program, built."""
    go, out = shutil.which("go"), tmp_path_factory.mktemp("foreign") / "foreign"
    if go is None:
        pytest.skip("no Go is installed")
    done = subprocess.run([go, "mod", "download"], cwd=FOREIGN, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the modules cannot be had: {done.stderr.strip()[-300:]}")
    subprocess.run([go, "build", "-o", out, "."], cwd=FOREIGN, check=True)
    return out


def test_others_find_the_log_as_it_should_be_and_see_what_is_not(tmp_path, foreign):
    with served(tmp_path) as gateway:
        hospital = gateway.party()
        record = gateway.json("push", "--as", hospital, DEMO)["receipts"][0]["record"]
        gateway.cli("receipt", "get", "--as", hospital, record, "--wait", "--out", tmp_path / "receipt.json")
        policy, proof = tmp_path / "policy.txt", tmp_path / "receipt.tlog-proof"
        policy.write_text(gateway.cli("ledger", "policy"))
        of = ("--url", gateway.url, "--genesis", gateway.home / "genesis.json", "--policy", policy)
        gateway.cli("receipt", "tlog-proof", tmp_path / "receipt.json", *of, "--wait", "--out", proof)
        for number in range(3):  # the log grows past the proof's checkpoint
            gateway.party(name=f"Hospital {number}")
        size = gateway.wait_final()["transactions"]

        def check(with_policy=policy, with_proof=proof):
            command = [foreign, with_policy, with_proof, f"{gateway.url}/ledger"]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        done = check()
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"size {size}, cosignatures 4, consistent with ")
        forged = tmp_path / "forged"
        for part, other in ((b"index ", b"index 1"), (b"extra p", b"extra q"), (b"\nfhir-anchor/", b"\nfhir-anchor/0")):
            forged.write_bytes(proof.read_bytes().replace(part, other, 1))
            assert check(with_proof=forged).returncode == 1
        forged.write_text(policy.read_text().replace("group delegates 3", "group delegates 5 nobody"))
        assert check(with_policy=forged).returncode == 1
