"""What comes in and what is said of it: a submission, its entries read and checked, and the answer."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fhir_adapters import Entry, InvalidInput, Issue, Resource, check_text, parse_resource, split_bundle
from gateway.errors import GatewayError, NotSupported, PreconditionFailed
from gateway.identity.condition import Condition, parse_condition
from gateway.identity.draft import Draft, names_of
from gateway.index.submissions import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One POST. `body` is decoded (no gzip); `resource_type` is None for `POST /fhir`; `received_at` in seconds since the epoch."""

    body: bytes
    media_type: str
    resource_type: str | None = None
    signature: str | None = None  # X-Submission-Signature, a compact JWS
    nonce: bytes | None = None  # X-Submission-Nonce, 32 bytes
    request_id: str
    if_none_exist: str | None = None
    received_at: float


@dataclass(frozen=True, slots=True)
class Written:
    """One entry that is stored, now or before. `reference` is Type/id, `last_updated` an instant."""

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


@dataclass(frozen=True, slots=True)
class Reading:
    """A submission taken apart. `entries` are all exact slices, those that failed included: the signature covers every one."""

    bundle_type: str | None
    entries: Sequence[bytes]
    drafts: Sequence[Draft]
    failed: Mapping[int, Failed]  # by entry; only a batch has any

    @property
    def is_batch(self) -> bool:
        return self.bundle_type == "batch"

    def without(self, failed: dict[int, Failed]) -> "Reading":
        """The same with these entries failed, too."""
        return replace(self, drafts=[d for d in self.drafts if d.index not in failed], failed={**self.failed, **failed})

    def only(self, indices: Collection[int]) -> "Reading":
        """The same with the drafts of these entries alone."""
        return replace(self, drafts=[d for d in self.drafts if d.index in indices])


def read_submission(submission: Submission) -> Reading:
    """Take a submission apart and check every entry. Raises InvalidInput with all faults of all entries; a batch keeps them by entry."""
    body = check_text(submission.body)
    if submission.resource_type is not None:
        return Reading(None, [submission.body], [_single(submission, submission.resource_type, body)], {})
    bundle = split_bundle(body)
    drafts: list[Draft] = []
    failed: dict[int, Failed] = {}
    for entry in bundle.entries:
        try:
            drafts.append(_draft(entry, bundle.type))
        except InvalidInput as fault:
            failed[entry.index] = Failed(fault.issues, 400 if fault.unreadable else 422)
        except GatewayError as error:
            failed[entry.index] = Failed((Issue(error.issue.code, error.issue.diagnostics, f"Bundle.entry[{entry.index}]"),), error.status)
    if failed and bundle.type != "batch":
        raise all_of(failed)
    return Reading(bundle.type, [entry.raw for entry in bundle.entries], drafts, failed)


def all_of(failed: Mapping[int, Failed]) -> InvalidInput | PreconditionFailed:
    """One error that lists the faults of every entry, in order; PreconditionFailed where a precondition is all that failed."""
    issues = [issue for index in sorted(failed) for issue in failed[index].issues]
    statuses = {f.status for f in failed.values()}
    if statuses == {412}:
        return PreconditionFailed(issues[0].diagnostics, code=issues[0].code, expression=issues[0].expression)
    return InvalidInput(issues, unreadable=400 in statuses)


@lru_cache(maxsize=64)
def instant(milliseconds: int) -> str:
    """An instant of FHIR with milliseconds and zone: 2026-11-23T04:25:29.123Z."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03}Z"


def _single(submission: Submission, resource_type: str, body: bytes) -> Draft:
    resource = parse_resource(body)
    _require_type(resource, resource_type, resource.type)
    names, aliases = names_of(None, resource.source_id, keeps_ids=False)
    condition = parse_condition(resource_type, submission.if_none_exist) if submission.if_none_exist else None
    return Draft(0, resource.type, resource, submission.body, None, names, aliases, condition)


def _draft(entry: Entry, bundle_type: str) -> Draft:
    path = f"Bundle.entry[{entry.index}]"
    is_release = bundle_type not in {"transaction", "batch"}
    condition: Condition | None = None
    if not is_release and (entry.method != "POST" or entry.if_match):
        raise NotSupported("of the entries of a transaction or batch, this server takes POST only, without ifMatch")
    try:
        resource = parse_resource(entry.resource)
    except InvalidInput as fault:
        raise InvalidInput([issue.below(f"{path}.resource") for issue in fault.issues], unreadable=fault.unreadable) from None
    if not is_release:
        _require_type(resource, entry.url or "", f"{path}.request.url")
        condition = parse_condition(resource.type, entry.if_none_exist) if entry.if_none_exist else None
    names, aliases = names_of(entry.full_url, resource.source_id, keeps_ids=is_release)
    return Draft(entry.index, f"{path}.resource", resource, entry.raw, entry.full_url, names, aliases, condition)


def _require_type(resource: Resource, expected: str, path: str) -> None:
    if resource.type != expected:
        raise InvalidInput([Issue("invalid", "the request names another resource type than the resource", path)])
