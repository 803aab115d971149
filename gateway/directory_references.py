"""To which resources that belong to no patient a record refers. Pure."""

import re
from collections.abc import Iterator

from fhir_adapters.compartment import PATIENT_COMPARTMENT

# In canonical bytes a reference has this one spelling, and in a text its quotation marks would be escaped.
_REFERENCE = re.compile(rb'"reference":"([A-Z][A-Za-z]{1,63})/([0-9a-f]{32})(?:/_history/[0-9]+)?"')
_OF_PATIENTS = frozenset(name.encode() for name in (*PATIENT_COMPARTMENT, "Patient"))


def directory_references(body: bytes) -> Iterator[str]:
    """The ids of the resources that `body`, a record's committed bytes, refers to, if they are of a type that no patient has."""
    for kind, id_ in _REFERENCE.findall(body):
        if kind not in _OF_PATIENTS:
            yield id_.decode()
