"""The gateway's own keys, as the keyring sealed them: one row a name, made once with the gateway and never again.

A key that is missing later is not made anew: all ids and tokens that were made with the old one would be lost without a word.
"""

from sqlalchemy import Connection, insert, select

from gateway.errors import GatewayError
from gateway.index import schema as t
from gateway.vault.keyring import Keyring
from gateway.vault.primitives import KEY_BYTES, Random

SIZES = {"record-ids": 16, "index": KEY_BYTES, "access-tokens": KEY_BYTES}  # name -> bytes


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


def context(name: str) -> str:
    """What the key of this name is sealed for."""
    return f"gateway-key/{name}"
