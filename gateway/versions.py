"""What a submission makes of each resource: nothing where its content is what is stored, else the next version. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.identity.resolution import NOWHERE, Placed
from gateway.index.archives import Archive
from gateway.index.index_row import FORMAT, IndexRow
from gateway.index.submissions import Result, Status
from gateway.index.tokens import BlindTokens, CodeTokens


@dataclass(frozen=True, slots=True)
class Version:
    """The version that a placed draft becomes, or finds. `content` is what was submitted, references rewritten; `token` its token."""

    placed: Placed
    content: bytes
    token: bytes
    version: int
    status: Status
    updated_ms: int

    @property
    def is_new(self) -> bool:
        return self.status not in ("unchanged", "absent")

    @property
    def result(self) -> Result:
        return Result(self.status, self.placed.row if self.version else NOWHERE, self.version)


def decide_version(placed: Placed, rewrites: Mapping[str, str], tokens: BlindTokens, now_ms: int) -> Version:
    """Equal content changes nothing; a deleted resource lives again; what is settled stays as it is; a deletion is a version, too.

    A version is never older than the one before, whatever the clock says.
    """
    state = placed.state
    before = (state.updated_ms or 0) if state else 0
    if placed.is_settled:
        return Version(placed, b"", b"", state.version if state else 0, "absent" if placed.draft.deletes else "unchanged", before)
    content = placed.draft.resource.content(rewrites)
    token = tokens.content(placed.row, content)
    if state is not None and placed.draft.deletes:
        return Version(placed, content, token, state.version + 1, "deleted", max(now_ms, before + 1))
    if state is None or not state.version:
        return Version(placed, content, token, 1, "created", now_ms)
    if state.content == token and not state.deleted:
        return Version(placed, content, token, state.version, "unchanged", before)
    return Version(placed, content, token, state.version + 1, "created" if state.deleted else "updated", max(now_ms, before + 1))


def index_rows(
    versions: Iterable[Version],
    issuer: int,
    archive_of: Mapping[int, Archive],
    also_of: Mapping[int, Sequence[Archive]],
    codes_of: Mapping[Archive, CodeTokens],
    tokens: BlindTokens,
) -> dict[int, IndexRow]:
    """What the index will say of each new version, by row."""
    return {
        v.placed.row: _index_row(v, issuer, also_of.get(v.placed.row, ()), codes_of[archive_of[v.placed.row]], tokens) for v in versions
    }


def _index_row(version: Version, issuer: int, also_of: Sequence[Archive], codes: CodeTokens, tokens: BlindTokens) -> IndexRow:
    placed = version.placed
    resource = placed.draft.resource
    fields = resource.index
    identifiers: tuple[bytes, ...] = ()
    if fields.identifiers:
        identifiers = tuple(sorted({tokens.identifier(resource.type, system, value) for system, value in fields.identifiers if value}))
    coded = codes.of(fields.categories, fields.codes)
    place = (FORMAT, placed.row, placed.type, version.version, int(placed.draft.deletes), issuer, version.updated_ms)
    further = tuple(sorted(archive.keys.key_id for archive in also_of))
    return IndexRow(*place, fields.start, fields.end, version.token, coded, identifiers, further)
