"""What comes in and what is said of it: a submission and the answer."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from fhir_adapters import InvalidInput, Issue
from gateway.errors import Forbidden, PreconditionFailed, Refused
from gateway.identity.interaction import Interaction, Method
from gateway.index.submissions import Status

# 200 says of a write only that it is there. This tells equal content, of which no version was made, from an update.
OUTCOME_SYSTEM = "urn:fhir-anchor:write-outcome"
UNCHANGED = Issue(
    "informational", "equal content is stored already: no new version", severity="information", details=(OUTCOME_SYSTEM, "unchanged")
)


def _anything(_method: Method, _resource_type: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One request that writes. `received_at` in seconds since the epoch.

    `body` is decoded (no gzip); for a DELETE, which has none, it is the Bundle.entry that would say the same (`deletion_entry`), so that
    there is something to sign. `interaction` is None for `POST /fhir`.
    """

    body: bytes
    media_type: str
    interaction: Interaction | None = None
    signature: str | None = None  # X-Submission-Signature, a compact JWS
    nonce: bytes | None = None  # X-Submission-Nonce, 32 bytes
    request_id: str
    idempotency_key: str | None = None
    permits: Callable[[Method, str], bool] = _anything  # whether the sender's token allows this on resources of this type
    received_at: float


@dataclass(frozen=True, slots=True)
class Written:
    """One entry that is stored, now or before. `reference` is Type/id, `last_updated` an instant.

    What was to be deleted and never was here has version 0 and no reference.
    """

    reference: str
    version: int
    status: Status
    last_updated: str


@dataclass(frozen=True, slots=True)
class Failed:
    """One entry of a batch that was not taken. `status` is its HTTP status."""

    issues: tuple[Issue, ...]
    status: int = 422


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of each entry, in the order of the request. `bundle_type` is None for a single resource."""

    bundle_type: str | None
    results: tuple[Written | Failed, ...]
    replayed: bool = False


_STATUS_OF_CODE = {"multiple-matches": 412, "conflict": 412, "not-supported": 501, "forbidden": 403, "invalid": 400}


def failed_by(issues: Sequence[Issue]) -> Failed:
    """An entry that these are the faults of, with the status that all of them have, else 422."""
    statuses = {_STATUS_OF_CODE.get(issue.code, 422) for issue in issues}
    return Failed(tuple(issues), statuses.pop() if len(statuses) == 1 else 422)


_REFUSALS: Mapping[int, type[Refused]] = {403: Forbidden, 412: PreconditionFailed}


def all_of(failed: Mapping[int, Failed]) -> InvalidInput | Refused:
    """One error that lists the faults of every entry, in order; Forbidden or PreconditionFailed where that is all there is."""
    issues = [issue for index in sorted(failed) for issue in failed[index].issues]
    statuses = {f.status for f in failed.values()}
    if len(statuses) == 1 and (refusal := _REFUSALS.get(*statuses)):
        return refusal(issues[0].diagnostics, code=issues[0].code, expression=issues[0].expression)
    return InvalidInput(issues, unreadable=400 in statuses)


def deletion_entry(address: str, if_match: str | None) -> bytes:
    """What a DELETE of `Type/id` or `Type?search` is signed as and kept as: the Bundle.entry that asks for it, without white space."""
    request = {"method": "DELETE", "url": address} | ({} if if_match is None else {"ifMatch": if_match})
    return msgspec.json.encode({"request": request})


@lru_cache(maxsize=64)
def instant(milliseconds: int) -> str:
    """An instant of FHIR with milliseconds and zone: 2026-11-23T04:25:29.123Z."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03}Z"
