"""In whose archive a record lies (docs/adr/0009-identity.md): its patient's; a Medication, Device or Binary with the patient
whose record uses it; what belongs to no patient in the institution's own directory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.identity.lookups import Lookups
from gateway.identity.resolution import Placed, Resolution
from gateway.index.archives import Archive
from gateway.index.resource_types import NUMBER_OF, PATIENT

_GO_ALONG = frozenset(NUMBER_OF[name] for name in ("Medication", "Device", "Binary"))


@dataclass(slots=True)
class Compartments:
    """The archive of each row that will have one, of those the record is about besides, and the archives that are opened for it."""

    of: dict[int, Archive] = field(default_factory=dict)
    also_of: dict[int, list[Archive]] = field(default_factory=dict)
    opened: list[Archive] = field(default_factory=list)


def assign_archives(resolution: Resolution, lookups: Lookups, open_archive: Callable[[int | None], Archive]) -> Compartments:
    """`open_archive(party row | None)` makes a new archive, the party's directory or a patient's.

    A Patient resource has its archive from the first mention on, whether it came or is only referred to.
    """
    assigner = _Assigner(resolution, lookups, open_archive)
    assigner.patients()
    placed = [p for p in resolution.placed if p.type != PATIENT and not p.is_settled]
    unclaimed = [p for p in placed if not assigner.by_subject(p)]
    assigner.along_with_users(unclaimed)
    for record in unclaimed:
        if record.row not in assigner.result.of:
            assigner.by_references(record)
    return assigner.result


class _Assigner:
    def __init__(self, resolution: Resolution, lookups: Lookups, open_archive: Callable[[int | None], Archive]) -> None:
        self._resolution, self._lookups, self._open = resolution, lookups, open_archive
        self._directory = lookups.directory
        self.result = Compartments()

    def patients(self) -> None:
        """Archives for Patient rows: kept where there is one, else opened."""
        known = {row: state.archive for row, state in self._lookups.states.items() if state.type == PATIENT and state.archive is not None}
        for row, archive in known.items():
            self.result.of[row] = self._lookups.archives[archive]
        rows = [p.row for p in self._resolution.placed if p.type == PATIENT and not p.is_settled] + [
            r.row for r in self._resolution.reserved if r.type == PATIENT
        ]
        for row in rows:
            if row not in self.result.of:
                self.result.of[row] = self._opened(None)

    def by_subject(self, record: Placed) -> bool:
        """Put `record` with the first patient it names; False if it names none."""
        archives = self._archives(record.draft.resource.patients, only_patients=True)
        return self._put(record, archives)

    def by_references(self, record: Placed) -> None:
        """Put `record` with the patient of a record that it refers to, else where it was, else in the directory.

        A tombstone names nobody; whose permission the version before it needed is asked for it, too.
        """
        if record.draft.deletes and record.state is not None:
            before = self._lookups.also_of.get((record.row, record.state.version), ())
            self.result.also_of[record.row] = [self._lookups.archives[row] for row in sorted(before)]
        if record.type not in _GO_ALONG and self._put(record, self._archives(record.draft.resource.references, only_patients=False)):
            return
        was = record.state.archive if record.state else None
        self.result.of[record.row] = self._lookups.archives[was] if was is not None else self._directory_archive()

    def along_with_users(self, unclaimed: Iterable[Placed]) -> None:
        """Put a Medication, Device or Binary with the one patient whose records of this submission use it."""
        waiting = {p.row: p for p in unclaimed if p.type in _GO_ALONG and (p.state is None or p.state.archive is None)}
        if not waiting:
            return
        users: dict[int, dict[Archive, None]] = {row: {} for row in waiting}
        for record in self._resolution.placed:
            archive = self.result.of.get(record.row)
            if archive is None:
                continue
            for text in record.draft.resource.references:
                row, _ = self._resolution.targets.get(text, (0, 0))
                if row in users:
                    users[row][archive] = None
        for row, archives in users.items():
            if len(archives) == 1:
                self.result.of[row] = next(iter(archives))

    def _put(self, record: Placed, archives: list[Archive]) -> bool:
        if not archives:
            return False
        self.result.of[record.row] = archives[0]
        if len(archives) > 1:
            self.result.also_of[record.row] = archives[1:]
        return True

    def _archives(self, texts: Iterable[str], *, only_patients: bool) -> list[Archive]:
        """The distinct archives of patients that these references lead to, in order."""
        found: dict[Archive, None] = {}
        for text in texts:
            row, type_ = self._resolution.targets.get(text, (0, 0))
            if only_patients and type_ != PATIENT:
                continue
            archive = self.result.of.get(row) or self._stored(row)
            if archive is not None and archive.directory_of is None:
                found[archive] = None
        return list(found)

    def _stored(self, row: int) -> Archive | None:
        state = self._lookups.states.get(row)
        return None if state is None or state.archive is None else self._lookups.archives[state.archive]

    def _directory_archive(self) -> Archive:
        if self._directory is None:
            self._directory = self._opened(self._lookups.party)
        return self._directory

    def _opened(self, party: int | None) -> Archive:
        archive = self._open(party)
        self.result.opened.append(archive)
        return archive
