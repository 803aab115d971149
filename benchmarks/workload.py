"""What is pushed: Synthea's bundles where they are at hand, else bundles of the project's own making."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.generated_bundle import generated_bundle

ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "develop.tar.xz"
_SYNTHEA = "synthea-r4-"
_GENERATED, _GENERATED_ENTRIES = 24, 400


class NoWorkload(Exception):
    """The folder given holds no bundle; the message names it."""


class _Kind(msgspec.Struct):
    resourceType: str = ""  # noqa: N815 - FHIR's name
    entry: list[msgspec.Raw] = []


@dataclass(frozen=True, slots=True)
class Workload:
    """`shared` are bundles that the others refer to, and go first; each is one request. `resources` counts the entries of all."""

    source: str
    shared: tuple[bytes, ...]
    bundles: tuple[bytes, ...]
    resources: int

    @property
    def all(self) -> tuple[bytes, ...]:
        return self.shared + self.bundles

    def first(self, count: int) -> "Workload":
        """The same with `count` of the bundles only."""
        return _workload(self.source, [("0", body) for body in self.shared] + [("1", body) for body in self.bundles[:count]])


def load(folder: Path | None) -> Workload:
    """The bundles below `folder`; without one, Synthea's from the archive beside the project, or generated ones. Raises NoWorkload."""
    if folder is not None:
        found = sorted(folder.rglob("*.json"))
        synthea = [path for path in found if _SYNTHEA in str(path.parent)]
        given = [(path.name, path.read_bytes()) for path in synthea or found]
        bundles = [(name, body) for name, body in given if entries_of(body)]
        if not bundles:
            raise NoWorkload(f"{folder} holds no FHIR Bundle in a .json file")
        return _workload(folder.name, bundles)
    if ARCHIVE.exists():
        return _workload("synthea", sorted(_archived()))
    return _workload("generated", [(f"generated-{seed}", generated_bundle(seed, _GENERATED_ENTRIES)) for seed in range(1, _GENERATED + 1)])


def entries_of(body: bytes) -> int:
    """Number of entries of a Bundle; 0 for anything else."""
    try:
        kind = msgspec.json.decode(body, type=_Kind)
    except msgspec.DecodeError:
        return 0
    return len(kind.entry) if kind.resourceType == "Bundle" else 0


def _workload(source: str, bundles: list[tuple[str, bytes]]) -> Workload:
    """Synthea calls the bundles that the others need "0-..."."""
    shared = tuple(body for name, body in bundles if name.startswith("0"))
    others = tuple(body for name, body in bundles if not name.startswith("0"))
    return Workload(source, shared, others, sum(entries_of(body) for _, body in bundles))


def _archived() -> Iterator[tuple[str, bytes]]:
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            content = archive.extractfile(member) if _SYNTHEA in folder and name.endswith(".json") else None
            if content is not None:
                yield name, content.read()
