"""What is wrong with an input, said once per fault: FHIR R4 OperationOutcome (http://hl7.org/fhir/R4/operationoutcome.html).

Diagnostics name paths and rules, never the values found there: an outcome may end in a log.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

Severity = Literal["fatal", "error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue: `code` is of the value set issue-type, `expression` a FHIRPath: `Bundle.entry[3].resource.gender`.

    `details` is a (system, code) for programs, where the code says too little.
    """

    code: str
    diagnostics: str
    expression: str | None = None
    severity: Severity = "error"
    details: tuple[str, str] | None = None

    def below(self, path: str) -> "Issue":
        """The same fault seen from a document that holds this one at `path`: replaces the leading type name of the expression."""
        tail = self.expression.partition(".")[2] if self.expression else ""
        return Issue(self.code, self.diagnostics, f"{path}.{tail}" if tail else path, self.severity, self.details)


class InvalidInput(Exception):
    """The input is at fault; every fault that was found is listed.

    `unreadable` says which side of FHIR's line it fell on: True could not be parsed (400), False was read and breaks a rule (422).
    """

    def __init__(self, issues: Iterable[Issue], *, unreadable: bool = False) -> None:
        self.issues = tuple(issues)
        self.unreadable = unreadable
        super().__init__("; ".join(f"{i.expression or 'input'}: {i.diagnostics}" for i in self.issues[:5]))


def operation_outcome(issues: Iterable[Issue]) -> bytes:
    """The OperationOutcome that lists `issues`, as JSON bytes."""
    return msgspec.json.encode(
        {
            "resourceType": "OperationOutcome",
            "issue": [
                {
                    "severity": i.severity,
                    "code": i.code,
                    "diagnostics": i.diagnostics,
                    **({"expression": [i.expression]} if i.expression else {}),
                    **({"details": {"coding": [{"system": i.details[0], "code": i.details[1]}]}} if i.details else {}),
                }
                for i in issues
            ],
        }
    )
