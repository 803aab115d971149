"""What a role may ask for at sign-in, at most. What of it a request then gets is the flows' decision, record by record."""

from collections.abc import Mapping

from gateway.web.scopes import Scope

INSTITUTION, AGENCY = 1, 2  # as in the ledger's PARTY transaction

_ALLOWED: Mapping[int, tuple[Scope, ...]] = {
    INSTITUTION: (Scope("*", "cruds"),),
    AGENCY: (Scope("*", "rs"),),  # it reads what was consented to; writing needs a consent to write
}


def scopes_of(role: int) -> tuple[Scope, ...]:
    """The widest scopes of `role`; none for one that does not sign in here (a gateway)."""
    return _ALLOWED.get(role, ())
