"""What the two verifiers, which share no code, say of the same files."""

from gateway import access_verification, independent, proof_verification, verification
from gateway.errors import CouldNotCheck
from gateway.recorded import ReceiptInvalid

_OWN = {
    "verify_receipt": verification.verify_receipt,
    "verify_access_receipt": access_verification.verify_access_receipt,
    "verify_proof": proof_verification.verify_proof,
}


def told(verify, *files):
    """Of each, by the name that the function has in both: one of the same three words, and the verdict if there is one."""
    return [_told(verifier, files) for verifier in (_OWN[verify], getattr(independent, verify))]


def verdicts(verify, *files):
    """The words alone."""
    return [word for word, _ in told(verify, *files)]


def _told(verify, files):
    try:
        return "valid", verify(*files)
    except (ReceiptInvalid, independent.Invalid):
        return "invalid", None
    except (CouldNotCheck, independent.Unreadable):
        return "could not check", None
