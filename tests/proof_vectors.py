"""The vectors that every checker of proofs must answer alike: `python tests/proof_vectors.py` writes tests/vectors/proofs.json.

One genesis for all; each vector is a proof, a pin or null, the verdict, and what a valid proof says. Each is named by what is wrong with it.
"""

import json
import sys
import tempfile
from pathlib import Path

import proof_case

from gateway import proof_verification

FILE = Path(__file__).parent / "vectors" / "proofs.json"


def document(grown):
    genesis = proof_case.ELECTED_BYTES
    vectors = [{"name": name, "verdict": "valid", "proof": proof, "pin": pin} for name, (proof, pin) in proof_case.valid(grown).items()]
    for vector in vectors:
        proof, pin = (None if part is None else json.dumps(part).encode() for part in (vector["proof"], vector["pin"]))
        vector["says"] = proof_verification.verify_proof(proof, genesis, pin).says
    for name, (proof, pin, verdict) in proof_case.forged(grown):
        vectors.append({"name": name, "verdict": verdict, "proof": proof, "pin": pin})
    return {"genesis": genesis.decode(), "vectors": vectors}


def to_text(content):
    """A vector a line."""
    lines = ",\n".join(json.dumps(vector) for vector in content["vectors"])
    return f'{{"genesis": {json.dumps(content["genesis"])},\n"vectors": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(to_text(document(proof_case.Grown(Path(folder)))))
    sys.stdout.write(f"{FILE.stat().st_size} bytes\n")
