"""A second verifier of receipts, written from docs/design/receipt.md, access.md and ledger.md alone.

It shares no code with the first (`gateway.verification`): pycryptodome for Ed25519, the Python standard library for
the rest. A fault would have to be made twice, in the same way, for both to accept what they should not.
"""

from gateway.independent.access import AccessVerdict, verify_access_receipt
from gateway.independent.faults import Invalid, Unreadable
from gateway.independent.proof import ProofVerdict, verify_proof
from gateway.independent.receipt import Verdict, verify_receipt

__all__ = ["AccessVerdict", "Invalid", "ProofVerdict", "Unreadable", "Verdict", "verify_access_receipt", "verify_proof", "verify_receipt"]
