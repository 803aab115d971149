"""DELEGATE, VOTE, UNJAIL and TRANSFER (docs/design/ledger.md): how the holders of stake choose who produces and votes on blocks.

Stake is a fixed total of voting weight, held by keys. Each of these is signed by the key that it is about: a holder's, or a delegate's own.
See docs/adr/0026-elected-delegates.md.
"""

from enum import IntEnum
from typing import Any, ClassVar

from msgspec import Struct

from chain.encoding import encode
from chain.keys import COSIGNER, COSIGNING_KEY, DELEGATE, SIGNATURE_SIZE, ChainId, SigningKey, is_valid_public_key, verify
from chain.kinds import Kind, TransactionInvalid, check_fields, is_count, is_hash, is_name

MAX_VOTES = 100  # delegates that one holder can approve of


class DelegateAction(IntEnum):
    REGISTER = 0
    RESIGN = 1
    COSIGN = 2


_FIELDS = {DelegateAction.REGISTER: 4, DelegateAction.RESIGN: 1, DelegateAction.COSIGN: 3}  # of a body


class DelegateBody(Struct, frozen=True, gc=False):
    """A holder registers a delegate; or the signer is the delegate and resigns for good, or says with which key it cosigns checkpoints."""

    action: DelegateAction
    key: bytes | None = None  # public: the delegate's, or the one that cosigns
    name: str | None = None  # to register only
    signature: bytes | None = None  # by that key; see `register` and `cosigner`

    kind: ClassVar[Kind] = Kind.DELEGATE

    def to_map(self) -> dict[int, Any]:
        if self.action is DelegateAction.RESIGN:
            return {0: int(self.action)}
        if self.action is DelegateAction.COSIGN:
            return {0: int(self.action), 1: self.key, 2: self.signature}
        return {0: int(self.action), 1: self.key, 2: self.name, 3: self.signature}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "DelegateBody":
        """Raises `TransactionInvalid`."""
        if type(body) is not dict or type(body.get(0)) is not int or body[0] not in _FIELDS:
            raise TransactionInvalid("DELEGATE has an unknown action")
        action = DelegateAction(body[0])
        check_fields(body, _FIELDS[action])
        if action is DelegateAction.COSIGN:
            parsed = cls(action, key=body[1], signature=body[2])
        else:
            parsed = cls(action, *list(body.values())[1:])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless key, name and signature have their form."""
        if self.action is DelegateAction.RESIGN:
            return
        if type(self.key) is not bytes or not is_valid_public_key(self.key):
            raise TransactionInvalid("DELEGATE has an unusable public key")
        if self.action is DelegateAction.REGISTER and not is_name(self.name):
            raise TransactionInvalid("DELEGATE has no valid name")
        if type(self.signature) is not bytes or len(self.signature) != SIGNATURE_SIZE:
            raise TransactionInvalid("DELEGATE has a signature of the wrong size")

    def verify_signature(self, chain_id: ChainId, signer: bytes) -> None:
        """Raises `chain.keys.SignatureInvalid` unless the key lets itself be registered by the signer: a holder, or the delegate."""
        if self.action is DelegateAction.COSIGN:
            verify(self.key or b"", COSIGNER, chain_id, encode([signer, self.key]), self.signature or b"")
        else:
            verify(self.key or b"", DELEGATE, chain_id, encode([signer, self.key, self.name]), self.signature or b"")


class VoteBody(Struct, frozen=True, gc=False):
    """All the delegates that the signer approves of from now on; its whole weight counts for each."""

    delegates: tuple[bytes, ...]  # public keys, ascending

    kind: ClassVar[Kind] = Kind.VOTE

    def to_map(self) -> dict[int, Any]:
        return {0: list(self.delegates)}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "VoteBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 1)
        if type(body[0]) is not list:
            raise TransactionInvalid("VOTE has no list of delegates")
        parsed = cls(tuple(body[0]))
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless the delegates are different, in ascending order, and not too many."""
        if len(self.delegates) > MAX_VOTES or not all(is_hash(key) for key in self.delegates):
            raise TransactionInvalid(f"VOTE is not for at most {MAX_VOTES} keys")
        if list(self.delegates) != sorted(set(self.delegates)):
            raise TransactionInvalid("VOTE is not for different delegates in ascending order")


class UnjailBody(Struct, frozen=True, gc=False):
    """The signer, a delegate that was jailed for its absence, is back."""

    kind: ClassVar[Kind] = Kind.UNJAIL

    def to_map(self) -> dict[int, Any]:
        return {}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "UnjailBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 0)
        return cls()


class TransferBody(Struct, frozen=True, gc=False):
    """Voting weight moves from the signer to another key; what it voted for does not."""

    to: bytes
    weight: int

    kind: ClassVar[Kind] = Kind.TRANSFER

    def to_map(self) -> dict[int, Any]:
        return {0: self.to, 1: self.weight}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "TransferBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 2)
        parsed = cls(body[0], body[1])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless the receiver can be a key and the weight is one."""
        if type(self.to) is not bytes or not is_valid_public_key(self.to):
            raise TransactionInvalid("TRANSFER goes to an unusable public key")
        if not is_count(self.weight):
            raise TransactionInvalid("TRANSFER has an impossible weight")


def register(delegate: SigningKey, chain_id: ChainId, holder: bytes, name: str) -> DelegateBody:
    """The registration of `delegate` by the holder with this public key, with the delegate's own signature in it."""
    signature = delegate.sign(DELEGATE, chain_id, encode([holder, delegate.public, name]))
    return DelegateBody(DelegateAction.REGISTER, delegate.public, name, signature)


def cosigner(delegate: SigningKey, chain_id: ChainId) -> DelegateBody:
    """The registration of the cosigning key that is derived from a delegate's, with that key's own signature in it."""
    key = delegate.derived(COSIGNING_KEY)
    signature = key.sign(COSIGNER, chain_id, encode([delegate.public, key.public]))
    return DelegateBody(DelegateAction.COSIGN, key.public, signature=signature)
