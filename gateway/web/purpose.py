"""What a request says it is for: X-Purpose-Of-Use."""

from flask import request

from gateway.consent.purpose import HEADER, purpose_of
from gateway.index.parties import Party, PartyRole


def stated_purpose(reader: Party) -> str | None:
    """The purpose that grants are compared with. None where none was stated and `reader` has records of its own to ask for.

    Forbidden as `purpose_of`; so for an agency, whatever it asks for, before anything is looked up.
    """
    header = request.headers.get(HEADER)
    if reader.role is not PartyRole.AGENCY and not reader.purposes and not (header or "").strip():
        return None
    return purpose_of(reader, header)
