"""FHIR dates and times as whole seconds since 1970 UTC: http://hl7.org/fhir/R4/datatypes.html#dateTime.

A partial date covers all of its day, month or year; a date without a zone is taken in UTC.
"""

import calendar
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_SECOND = timedelta(seconds=1)
_DAY = 86_400


def seconds_covered(value: str) -> tuple[int, int]:
    """First and last second that a date, dateTime or instant covers; raises ValueError for any other text."""
    if len(value) > len("2020-12-31"):
        second = _second(value)
        return second, second
    if len(value) == len("2020-12-31"):
        first = _midnight(date.fromisoformat(value))
        return first, first + _DAY - 1
    year = int(value[:4])
    from_month, to_month = (int(value[5:7]),) * 2 if len(value) > len("2020") else (1, 12)
    last_day = calendar.monthrange(year, to_month)[1]
    return _midnight(date(year, from_month, 1)), _midnight(date(year, to_month, last_day)) + _DAY - 1


def _midnight(day: date) -> int:
    return (day.toordinal() - _EPOCH_DAY) * _DAY


def _second(value: str) -> int:
    """A leap second counts as the second after it, as in POSIX time."""
    if value[17:19] == "60":
        return _second(f"{value[:17]}59{value[19:]}") + 1
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone")
    return (moment - _EPOCH) // _SECOND
