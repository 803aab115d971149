"""Wire formats to standard records: pure, and it imports nothing of ours."""

from fhir_adapters.bundle import Entry, SubmittedBundle, split_bundle
from fhir_adapters.definitions import RESOURCE_TYPES
from fhir_adapters.index import IndexFields
from fhir_adapters.issue import InvalidInput, Issue, operation_outcome
from fhir_adapters.resource import Resource, parse_resource, standard_bytes, warm
from fhir_adapters.text import check_text
from fhir_adapters.tombstone import tombstone

__all__ = [
    "RESOURCE_TYPES",
    "Entry",
    "IndexFields",
    "InvalidInput",
    "Issue",
    "Resource",
    "SubmittedBundle",
    "check_text",
    "operation_outcome",
    "parse_resource",
    "split_bundle",
    "standard_bytes",
    "tombstone",
    "warm",
]
