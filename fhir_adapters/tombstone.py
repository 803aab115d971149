"""What stands where a resource was deleted: a record of its own, so that a deletion is sealed, anchored and proven like anything else.

Its bytes are the standard record's head and `"deleted":true`. No FHIR resource has that element, so nothing that a sender writes can be
taken for a tombstone, nor the other way round (docs/adr/0016-updates-and-deletes.md).
"""

import functools

from fhir_adapters.canonical import Cut
from fhir_adapters.index import IndexFields
from fhir_adapters.resource import Resource


@functools.cache
def tombstone(resource_type: str) -> Resource:
    """The content of a deleted version: it refers to nothing, and nothing in it can be searched for."""
    content = f'{{"resourceType":"{resource_type}","meta":{{}},"deleted":true}}'
    return Resource(resource_type, None, (), (), IndexFields(None, (), None, None, (), ()), Cut(content.encode(), (), []))
