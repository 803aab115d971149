"""The real data (all persons synthetic) that lies beside the project as an archive; tests skip with a reason where it is absent."""

import functools
import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "develop.tar.xz"
ABSENT = "the real data is not beside the project"


@functools.cache
def develop_folder() -> Path | None:
    """The extracted archive, None if there is none. Extracted once per content: a rename makes it appear whole or not at all."""
    if not ARCHIVE.exists():
        return None
    with ARCHIVE.open("rb") as archive:
        digest = hashlib.file_digest(archive, "sha256").hexdigest()
    folder = Path(tempfile.gettempdir()) / f"fhir-anchor-data-{os.getuid()}-{digest[:16]}"
    if not folder.exists():
        _extract_to(folder)
    return folder / "develop" if (folder / "develop").exists() else folder


def _extract_to(folder: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix="fhir-anchor-data-"))
    try:
        with tarfile.open(ARCHIVE) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
            archive.extractall(partial)
        partial.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def files(*patterns: str) -> list[Path]:
    """The files below the data folder that match any of the glob `patterns`, sorted; none if the data is absent."""
    folder = develop_folder()
    return sorted(path for pattern in patterns for path in folder.glob(pattern)) if folder else []


def synthea_bundles() -> list[Path]:
    """The 29 Synthea R4 bundles of two generations: 12,057 resources."""
    return files("synthea-r4-*/*.json")
