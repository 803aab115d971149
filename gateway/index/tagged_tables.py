"""Every table whose rows carry a tag: what audits check, what a new key-encryption key vouches for anew (docs/adr/0021-row-tags.md)."""

from gateway.index import archives, directory_links, memberships, outbox, parties, persons, restores
from gateway.index.row_tags import TaggedTable

TAGGED: tuple[TaggedTable, ...] = (
    parties.TAGGED,
    archives.TAGGED,
    restores.TAGGED,
    outbox.TAGGED,
    directory_links.TAGGED,
    persons.TAGGED,
    memberships.TAGGED,
)
