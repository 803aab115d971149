"""The two verifiers behind one call: any file that proves something in, an outcome out, by what the file's format says it is."""

import json
import re
from collections.abc import Callable
from typing import Any, Literal

from gateway import access_verification, independent, proof_verification, recorded, verification
from gateway.errors import CouldNotCheck

VALID, INVALID, NOT_CHECKED = "valid", "invalid", "could not check"
Outcome = dict[str, Any]  # result; detail, or what the verdict says
Check = Callable[[bytes, bytes | None], Outcome]  # of a file, and of the record beside it

_FORMAT = re.compile(rb'\{"format":"fhir-anchor ([a-z ]{1,40}) 1"[,}]')


def checker(genesis_bytes: bytes, pin_bytes: bytes | None = None, *, of: Literal["first", "independent"] = "first") -> Check:
    """What checks files against one genesis, and a pin if there is one; `of` the "first" verifier or the "independent" one."""
    own = (verification.verify_receipt, access_verification.verify_access_receipt, proof_verification.verify_proof)
    other = (independent.verify_receipt, independent.verify_access_receipt, independent.verify_proof)
    of_record, of_access, of_ledger = own if of == "first" else other

    def verdict(body: bytes, record: bytes | None) -> Any:
        kind = _kind(body)
        if kind == "access receipt" or kind.endswith(" proof"):
            if record is not None:
                raise CouldNotCheck(f"the {kind} commits to the bytes of no record: leave the record out")
            return (of_access if kind == "access receipt" else of_ledger)(body, genesis_bytes, pin_bytes)
        return of_record(body, genesis_bytes, record, pin_bytes)

    def check(body: bytes, record: bytes | None) -> Outcome:
        try:
            found = verdict(body, record)
        except (recorded.ReceiptInvalid, independent.Invalid) as error:
            return {"result": INVALID, "detail": str(error)}
        except (CouldNotCheck, independent.Unreadable) as error:
            return {"result": NOT_CHECKED, "detail": str(error)}
        return {"result": VALID, **found._asdict(), "record_checked": record is not None}

    return check


def _kind(body: bytes) -> str:
    """What the file says it is: "receipt", "access receipt", "state proof"...; read only if it is laid out otherwise."""
    at_once = _FORMAT.match(body)
    if at_once:
        return at_once[1].decode()
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    told = found.get("format") if isinstance(found, dict) else None
    return told.removeprefix("fhir-anchor ").removesuffix(" 1") if isinstance(told, str) else ""
