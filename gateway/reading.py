"""A submission taken apart: each entry read and checked, what it asks for understood. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from fhir_adapters import Entry, InvalidInput, Issue, Resource, check_text, parse_resource, split_bundle, tombstone
from gateway.errors import Forbidden, GatewayError, NotSupported
from gateway.identity.draft import Draft, names_of, names_of_update
from gateway.identity.interaction import IF_NONE_MATCH, Interaction, Method, parse_interaction
from gateway.submission import Failed, Submission, all_of

INTERACTIVE = frozenset({"transaction", "batch"})  # their entries are requests; those of other Bundles are what was released


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
    if submission.interaction is not None:
        return Reading(None, [submission.body], [_single(submission, submission.interaction, body)], {})
    bundle = split_bundle(body)
    drafts: list[Draft] = []
    failed: dict[int, Failed] = {}
    for entry in bundle.entries:
        try:
            drafts.append(_draft(entry, submission.permits) if bundle.type in INTERACTIVE else _released(entry))
        except InvalidInput as fault:
            failed[entry.index] = Failed(fault.issues, 400 if fault.unreadable else 422)
        except GatewayError as error:
            failed[entry.index] = Failed((Issue(error.issue.code, error.issue.diagnostics, f"Bundle.entry[{entry.index}]"),), error.status)
    if failed and bundle.type != "batch":
        raise all_of(failed)
    return Reading(bundle.type, [entry.raw for entry in bundle.entries], drafts, failed)


def _single(submission: Submission, interaction: Interaction, body: bytes) -> Draft:
    if interaction.method == "DELETE":
        return _deletion(0, interaction.type, interaction, submission.body)
    resource = parse_resource(body)
    return _written(0, resource.type, interaction, resource, submission.body, None)


def _draft(entry: Entry, permits: Callable[[Method, str], bool]) -> Draft:
    path = f"Bundle.entry[{entry.index}]"
    if entry.if_none_match is not None:
        raise NotSupported(IF_NONE_MATCH)
    try:
        interaction = parse_interaction(entry.method or "", entry.url or "", entry.if_none_exist, entry.if_match)
    except InvalidInput as fault:
        raise InvalidInput([issue.below(f"{path}.request") for issue in fault.issues], unreadable=fault.unreadable) from None
    if not permits(interaction.method, interaction.type):
        raise Forbidden(f"the token has no scope for {interaction.method} of {interaction.type}")
    if interaction.method == "DELETE":
        return _deletion(entry.index, f"{path}.request", interaction, entry.raw)
    resource = _resource(entry, path)
    return _written(entry.index, f"{path}.resource", interaction, resource, entry.raw, entry.full_url)


def _released(entry: Entry) -> Draft:
    path = f"Bundle.entry[{entry.index}]"
    resource = _resource(entry, path)
    names, aliases = names_of(entry.full_url, resource.source_id, keeps_ids=True)
    return Draft(entry.index, f"{path}.resource", Interaction("POST", resource.type), resource, entry.raw, entry.full_url, names, aliases)


def _resource(entry: Entry, path: str) -> Resource:
    try:
        return parse_resource(entry.resource)
    except InvalidInput as fault:
        raise InvalidInput([issue.below(f"{path}.resource") for issue in fault.issues], unreadable=fault.unreadable) from None


def _written(index: int, path: str, interaction: Interaction, resource: Resource, entry: bytes, full_url: str | None) -> Draft:
    if resource.type != interaction.type:
        raise InvalidInput([Issue("invalid", "the request names another resource type than the resource", path)])
    if interaction.method == "POST":
        names, aliases = names_of(full_url, resource.source_id, keeps_ids=False)
    else:
        if interaction.id is not None and interaction.id != resource.source_id:
            raise InvalidInput([Issue("invalid", "the resource must have the id that the address names", f"{path}.id")], unreadable=True)
        names, aliases = names_of_update(interaction.id, full_url, resource.source_id)
    return Draft(index, path, interaction, resource, entry, full_url, names, aliases)


def _deletion(index: int, path: str, interaction: Interaction, entry: bytes) -> Draft:
    names = (interaction.id,) if interaction.id is not None else ()
    return Draft(index, path, interaction, tombstone(interaction.type), entry, None, names, ())
