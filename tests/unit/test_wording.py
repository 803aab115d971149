"""Nothing is said of "1 objects"."""

import re
from pathlib import Path

import pytest

import gateway
import jobs
from gateway.wording import counted, of_number

NOUNS = (
    "objects|containers|records|grants|archives|transactions|blocks|patients|findings|restores|receipts|rows|values|accesses|files|audits"
)
SOURCES = [path for root in (gateway, jobs) for path in Path(root.__file__).parent.rglob("*.py")]


@pytest.mark.parametrize(
    ("nouns", "one"),
    [
        ("objects", "object"),
        ("accesses", "access"),
        ("access batches", "access batch"),
        ("original entries", "original entry"),
        ("archives", "archive"),
        ("revokes", "revoke"),
        ("container bytes", "container byte"),
        ("bundles not checkable by design", "bundle not checkable by design"),
        ("records whose further patients no sealed row names", "record whose further patients no sealed row names"),
    ],
)
def test_one_is_singular(nouns, one):
    assert of_number(1, nouns) == one
    assert of_number(0, nouns) == of_number(2, nouns) == nouns


def test_what_is_counted_stands_before_it():
    assert [counted(count, "objects") for count in (0, 1, 2, 12345)] == ["0 objects", "1 object", "2 objects", "12,345 objects"]


def test_no_sentence_counts_by_itself():
    """Those that are left can only be of two and more."""
    sentence = re.compile(rf"(?<!counted)\{{[^{{}}]*(?:len|count|rows|missing|size|height|total)[^{{}}]*\}} (?:{NOUNS})\b")
    found = {(path.name, match[0]) for path in SOURCES for match in sentence.finditer(path.read_text())}
    assert found <= {
        ("erasure.py", "{len(groups)} patients"),
        ("erasure.py", "{len(rows)} archives"),
        ("registration.py", "{len(patients)} patients"),
    }
