"""Every relative link in every Markdown file leads to a file that is there, and to a heading that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in ("build", "node_modules") for part in path.relative_to(ROOT).parts)
)
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_BARE = re.compile(r"(?<![\w/.-])((?:docs|tests)/[\w/*-]+\.(?:md|py))(?![\w*])")  # named in the text, from the project's folder


def _text(path):
    return _FENCED.sub("", path.read_text())


def _links(path):
    return [a or b for a, b in _LINK.findall(_text(path))]


def _anchors(path):
    """As forges make them of headings: lower case, spaces to hyphens, punctuation gone, numbered where repeated."""
    found = []
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", _text(path), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return found


def _faults(path):
    for link in _links(path):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in _anchors(target):
            yield f"{link}: no such heading in {target.name}"
    for name in _BARE.findall(_text(path)):
        if not any(ROOT.glob(name)):
            yield f"{name}: no such file"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path):
    assert list(_faults(path)) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "other.md").write_text("# What is *there*\n## Twice\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md) [b](other.md#what-is-there) [c](#here) [d](other.md#twice-1) [e](https://example.org/x)\n"
        "```\n[not a link](nowhere.md)\n```\n[f](gone.md) [g](other.md#gone)\n[h](#gone)\n\n[i]: lost.md\ndocs/gone.md\n"
    )
    assert [fault.partition(":")[0] for fault in _faults(page)] == ["gone.md", "other.md#gone", "#gone", "lost.md", "docs/gone.md"]


def test_what_code_names_is_there():
    packages = ("benchmarks", "chain", "fhir_adapters", "gateway", "jobs")
    named = {(path, name) for package in packages for path in (ROOT / package).rglob("*.py") for name in _BARE.findall(path.read_text())}
    assert len(named) > 50
    assert [(str(path.relative_to(ROOT)), name) for path, name in named if not any(ROOT.glob(name))] == []


def test_there_are_documents():
    assert len(DOCUMENTS) > 10


def test_every_decision_has_a_number_of_its_own_which_its_heading_says():
    names = sorted(path.name for path in (ROOT / "docs" / "adr").glob("*.md"))
    numbers = [name[:4] for name in names]
    assert numbers == sorted(set(numbers))
    headings = [(ROOT / "docs" / "adr" / name).read_text().partition(".")[0] for name in names]
    assert headings == [f"# {int(number)}" for number in numbers]
