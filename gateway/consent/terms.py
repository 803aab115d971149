"""What a consent permits, as its patient said it, and the bytes of it that the ledger's commitment is made over.

See docs/design/ledger.md, terms.
"""

from dataclasses import dataclass

from chain.encoding import encode
from gateway.consent.decision import Grant, Right
from gateway.consent.provision import Provision

FORMAT, WITH_EXCEPTIONS = 1, 2


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in seconds since the epoch; `ends_at` is the first second in which it no longer holds."""

    grantee: str  # client id
    types: frozenset[str]  # FHIR resource types
    purposes: frozenset[str]  # v3 ActReason codes
    rights: frozenset[Right]
    starts_at: int
    ends_at: int
    exceptions: tuple[Provision, ...] = ()

    def to_bytes(self, consent_id: bytes, archive_key_id: bytes) -> bytes:
        """CBOR of {0: format, 1: id of the Consent (16 bytes), 2: key id of the archive (16), 3: grantee, 4: types, 5: purposes, 6: rights,
        7: starts_at, 8: ends_at}, and with exceptions, in format 2, 9: [exception, ...], each as `Provision.to_map` has it.

        Texts in ascending order. Stored nowhere: they follow from the grant's row, and are for ever what was committed to.
        """
        places = {0: WITH_EXCEPTIONS if self.exceptions else FORMAT, 1: consent_id, 2: archive_key_id, 3: self.grantee}
        sets = {4: sorted(self.types), 5: sorted(self.purposes), 6: sorted(self.rights)}
        exceptions = {9: [one.to_map() for one in self.exceptions]} if self.exceptions else {}
        return encode({**places, **sets, 7: self.starts_at, 8: self.ends_at, **exceptions})


def row_terms(grant: Grant) -> Terms:
    """Those by which is decided, as the row of the grant says them."""
    return Terms(grant.grantee, grant.types, grant.purposes, grant.rights, grant.starts_at, grant.ends_at, grant.exceptions)
