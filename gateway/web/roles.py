"""What a role may ask for at sign-in, at most. What of it a request then gets is the flows' decision, record by record."""

from collections.abc import Mapping

from gateway.index.parties import PartyRole
from gateway.web.scopes import Scope

_ALLOWED: Mapping[PartyRole, tuple[Scope, ...]] = {
    PartyRole.PATIENT: (Scope("*", "rs"), Scope("*", "rs", "patient"), Scope("Consent", "c", "patient")),
    PartyRole.INSTITUTION: (Scope("*", "cruds"),),
    PartyRole.AGENCY: (Scope("*", "rs"),),  # it reads what was consented to; writing needs a consent to write
}


def scopes_of(role: PartyRole) -> tuple[Scope, ...]:
    """The widest scopes of `role`; none for one that does not sign in here (a gateway)."""
    return _ALLOWED.get(role, ())
