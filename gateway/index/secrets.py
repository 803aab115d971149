"""The gateway's own keys, as the keyring sealed them: one row a name."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from gateway.index import schema as t
from gateway.vault.keyring import Keyring
from gateway.vault.primitives import Random


def load_or_create(connection: Connection, keyring: Keyring, name: str, size: int, random: Random) -> bytes:
    """The key `name`, made with `size` random bytes where there is none; `connection` must be able to write. WrongKey under another KEK."""
    context = f"gateway-key/{name}"
    fresh = keyring.seal(context, random(size), random)
    connection.execute(insert(t.secret).values(name=name, sealed=fresh).on_conflict_do_nothing())
    sealed: bytes = connection.scalars(select(t.secret.c.sealed).where(t.secret.c.name == name)).one()
    return keyring.open(context, sealed)
