"""The gateway's own keys, as the keyring sealed them: one row a name, made once with the gateway and never again.

Sealed like them lies a restored home's tenure (`gateway.tenure`), which each restore writes anew.

A key that is missing later is not made anew: all ids and tokens that were made with the old one would be lost without a word.
"""

from sqlalchemy import Connection, delete, insert, select

from gateway.errors import GatewayError
from gateway.index import schema as t
from gateway.vault.keyring import Keyring
from gateway.vault.primitives import KEY_BYTES, Random

SIZES = {"record-ids": 16, "index": KEY_BYTES, "access-tokens": KEY_BYTES}  # name -> bytes
_TENURE = "tenure"


class SecretMissing(GatewayError):
    """One of the gateway's own keys is not in the database."""


def create(connection: Connection, keyring: Keyring, random: Random) -> None:
    """Make every key, for a new gateway."""
    for name, size in SIZES.items():
        connection.execute(insert(t.secret).values(name=name, sealed=keyring.seal(context(name), random(size), random)))


def load(connection: Connection, keyring: Keyring) -> dict[str, bytes]:
    """All keys by name. SecretMissing, WrongKey under another key-encryption key."""
    sealed = {row.name: row.sealed for row in connection.execute(select(t.secret))}
    missing = sorted(set(SIZES) - set(sealed))
    if missing:
        raise SecretMissing(f"the database lacks the gateway's own key {missing[0]!r}: put back a copy of gateway.db that has it")
    return {name: keyring.open(context(name), sealed[name]) for name in SIZES}


def put_tenure(connection: Connection, keyring: Keyring, tenure: bytes, random: Random) -> None:
    """Instead of what was there."""
    connection.execute(delete(t.secret).where(t.secret.c.name == _TENURE))
    connection.execute(insert(t.secret).values(name=_TENURE, sealed=keyring.seal(context(_TENURE), tenure, random)))


def tenure(connection: Connection, keyring: Keyring) -> bytes | None:
    """None where the home was founded. WrongKey under another key-encryption key."""
    sealed = connection.scalar(select(t.secret.c.sealed).where(t.secret.c.name == _TENURE))
    return None if sealed is None else keyring.open(context(_TENURE), sealed)


def context(name: str) -> str:
    """What the key of this name is sealed for."""
    return f"gateway-key/{name}"
