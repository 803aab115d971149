"""docs/operations.md names every setting, every finding of the audit and every metric, and none that does not exist."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway import settings
from gateway.metrics import Metrics
from jobs.audit_report import FINDING_CODES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()


def rows(heading):
    """The tables' rows below a heading, as lists of cells."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]


def test_settings():
    told = {name.strip("`"): variable.strip("`") for name, variable, _, _ in rows("Settings")}
    known = {name: variable for name, (variable, _) in settings._CHECKS.items()}
    assert told == known | {"shared_systems": ""}
    assert set(settings.Settings.__dataclass_fields__) == set(told) | {"home"}


def test_findings():
    assert {code.strip("`"): advice for code, advice in rows("What an audit finds, and what to do")} == FINDING_CODES


def test_metrics():
    registry = CollectorRegistry()
    Metrics(registry)
    counted = {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}
    looked_up = set(re.findall(r'"(fhir_anchor_\w+)"', (ROOT / "gateway/gauges.py").read_text()))
    assert set(re.findall(r"`(fhir_anchor_\w+)`", "".join(row[0] for row in rows("Metrics and alerts")))) == counted | looked_up
    assert set(re.findall(r"fhir_anchor_\w+", PAGE)) == counted | looked_up
