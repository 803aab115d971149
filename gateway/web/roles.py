"""What a role may ask for at sign-in, at most. What of it a request then gets is the flows' decision, record by record."""

from collections.abc import Mapping

from chain.transactions import Role
from gateway.web.scopes import Scope

_ALLOWED: Mapping[Role, tuple[Scope, ...]] = {
    Role.INSTITUTION: (Scope("*", "cruds"),),
    Role.AGENCY: (Scope("*", "rs"),),  # it reads what was consented to; writing needs a consent to write
}


def scopes_of(role: Role) -> tuple[Scope, ...]:
    """The widest scopes of `role`; none for one that does not sign in here (a gateway)."""
    return _ALLOWED.get(role, ())
