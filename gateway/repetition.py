"""Whether a submission came before, and what it did then.

A Bundle is known again by its bytes and answered from what it wrote while all of that stands. A request that its sender named with an
Idempotency-Key is answered as it was, whatever was written since: the sender says that it is the same request, and not a new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from sqlalchemy import Connection

from fhir_adapters import InvalidInput, Issue, check_text, split_bundle
from gateway.identity.draft import Draft
from gateway.index import idempotency_keys, submissions
from gateway.index.idempotency_keys import NamedRequest, Remembered
from gateway.index.parties import Party
from gateway.index.resource_types import NAME_OF
from gateway.index.submissions import FAILED, Earlier, Result
from gateway.reading import Reading
from gateway.services import Services
from gateway.submission import Accepted, Failed, Submission, Written, instant
from gateway.versions import Version


@dataclass(frozen=True, slots=True)
class Past:
    """`digest` is what the submission is known again by, if anything; `earlier` what it did before; `named` its Idempotency-Key."""

    digest: bytes | None
    earlier: Earlier | None
    named: NamedRequest | None
    remembered: Remembered | None
    is_named_before: bool

    @property
    def is_forgettable(self) -> bool:
        return self.digest is None and self.named is None

    def left_of(self, reading: Reading) -> Reading:
        """What is still to be done: where all that was written stands, only the entries of a batch that failed."""
        if self.earlier is None or not self.earlier.holds:
            return reading
        return reading.only({index for index, result in enumerate(self.earlier.results) if result.status == "failed"})

    def rows_of(self, drafts: Sequence[Draft]) -> dict[int, int]:
        """Where the same submission put what it creates: what has no name of its own is found again, not doubled.

        What If-None-Exist only met was not put there by it, and what was erased since is nowhere.
        """
        if self.earlier is None:
            return {}
        creates = ((draft, self.earlier.results[draft.index]) for draft in drafts if draft.interaction.method == "POST")
        return {
            draft.index: result.row
            for draft, result in creates
            if result.row in self.earlier.states and (draft.condition is None or result.status != "unchanged")
        }

    def results_with(self, reading: Reading, versions: Sequence[Version]) -> list[Result]:
        """What becomes of each entry, in order."""
        results = list(self.earlier.results) if self.earlier and self.earlier.holds else [FAILED] * len(reading.entries)
        for version in versions:
            results[version.placed.draft.index] = version.result
        return results

    def remember(self, connection: Connection, party: int, container: int | None, results: Sequence[Result], now: int) -> None:
        """Write what became of the submission, in the unit that writes it. LostRace if the same one came first."""
        written = submissions.encoded(results)
        if self.digest is not None:
            submissions.write(connection, party, self.digest, container=container, written=written, now=now, instead_of=self.earlier)
        if self.named is not None:
            idempotency_keys.write(connection, party, self.named, written, now, self.remembered)


def look_back(services: Services, sender: Party, submission: Submission) -> Past:
    """What the sender did with the same submission. InvalidInput (422) for an Idempotency-Key that it gave to another one."""
    digest = _digest(submission)
    named = None if submission.idempotency_key is None else idempotency_keys.name_request(submission.idempotency_key, _request(submission))
    if digest is None and named is None:
        return Past(None, None, None, None, is_named_before=False)
    with services.index.reading() as connection:
        remembered = idempotency_keys.find(connection, sender.row, named.key, int(submission.received_at)) if named else None
        if named is not None and remembered is not None:
            if remembered.request != named.request:
                raise InvalidInput([Issue("business-rule", "this Idempotency-Key came with another request before")])
            before = submissions.remembered(connection, remembered.written)
            if before.is_whole:
                return Past(digest, before, named, remembered, is_named_before=True)
        earlier = None if digest is None else submissions.find(connection, sender.row, digest)
        return Past(digest, earlier, named, remembered, is_named_before=False)


def replayed(services: Services, sender: Party, submission: Submission, past: Past) -> Accepted | None:
    """The answer that was given before, if it is to be given again; a key that came with it for the first time is remembered.

    LostRace if the key was taken meanwhile.
    """
    earlier = past.earlier
    if earlier is None or not (past.is_named_before or earlier.is_replayable):
        return None
    if past.named is not None and not past.is_named_before:
        with services.index.atomic() as connection:
            now = int(submission.received_at)
            idempotency_keys.write(connection, sender.row, past.named, earlier.written, now, past.remembered)
    bundle_type = None if submission.interaction else split_bundle(check_text(submission.body)).type
    ids = dict(zip(earlier.states, services.ids.encode(earlier.states), strict=True))
    return Accepted(bundle_type, tuple(_recorded(result, earlier, ids) for result in earlier.results), replayed=True)


def answered(services: Services, past: Past, reading: Reading, versions: Sequence[Version], ids: Mapping[int, str]) -> Accepted:
    """What is said of each entry, in order: written now, written when the same batch came before, or failed. `ids` of rows written now."""
    by_index = {version.placed.draft.index: version for version in versions}
    answers: list[Written | Failed] = []
    for index, result in enumerate(past.results_with(reading, versions)):
        version = by_index.get(index)
        if version is not None:
            answers.append(_written(version, ids))
        elif result.status == "failed":
            answers.append(reading.failed[index])
        else:
            assert past.earlier is not None
            answers.append(_recorded(result, past.earlier, {result.row: services.ids.encode((result.row,))[0]}))
    return Accepted(reading.bundle_type, tuple(answers))


def _written(version: Version, ids: Mapping[int, str]) -> Written:
    if not version.version:
        return Written("", 0, version.status, instant(0))
    reference = f"{version.placed.draft.resource.type}/{ids[version.placed.row]}"
    return Written(reference, version.version, version.status, instant(version.updated_ms))


def _recorded(result: Result, earlier: Earlier, ids: Mapping[int, str]) -> Written:
    """What was answered for an entry that did not fail."""
    if not result.row:
        return Written("", 0, result.status, instant(0))
    state = earlier.states[result.row]
    return Written(f"{NAME_OF[state.type]}/{ids[result.row]}", result.version, result.status, instant(state.updated_ms or 0))


def _digest(submission: Submission) -> bytes | None:
    """What a submission is known again by: the bytes of a Bundle. A single resource is created as often as it is posted, and a conditional
    one is decided by its condition, an update or deletion by what is there; only the very same signed message creates not twice.
    """
    interaction = submission.interaction
    if interaction is None:
        return sha256(submission.body).digest()
    if submission.nonce is None or interaction.method != "POST" or interaction.condition is not None:
        return None
    return sha256(sha256(submission.body).digest() + submission.nonce).digest()


def _request(submission: Submission) -> bytes:
    """What makes one request another: method, address, conditions and body. A signature may be made anew for the same."""
    return msgspec.json.encode(submission.interaction) + b"\n" + submission.body
