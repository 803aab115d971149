"""What an audit notes down while it works through a shard; the report is made of it at the end."""

from collections import Counter

from jobs.audit_report import Finding, Report


class Notes:
    """Counts, findings (each once, in the order in which they were found), what is pending and what could not be checked."""

    def __init__(self) -> None:
        self._checked: Counter[str] = Counter()
        self._findings: dict[Finding, None] = {}
        self._unchecked: dict[str, None] = {}
        self._pending: dict[str, None] = {}

    def count(self, what: str, number: int = 1) -> None:
        self._checked[what] += number

    def found(self, code: str, subject: str, detail: str) -> None:
        self._findings[Finding(code, subject, detail)] = None

    def pending(self, subject: str) -> None:
        self._pending[subject] = None

    def could_not_check(self, what: str) -> None:
        self._unchecked[what] = None

    def report(self) -> Report:
        return Report(dict(self._checked), tuple(self._pending), tuple(self._findings), tuple(self._unchecked))
