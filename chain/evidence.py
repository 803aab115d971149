"""EVIDENCE (docs/design/ledger.md): one delegate's two signatures for two blocks of one height, which no honest delegate makes."""

from enum import IntEnum
from typing import Any, ClassVar

from msgspec import Struct

from chain.block import BlockInvalid, Header
from chain.encoding import encode
from chain.keys import HEADER, SIGNATURE_SIZE, VOTE, ChainId, SignatureInvalid, verify
from chain.kinds import Kind, TransactionInvalid, check_fields, is_count, is_hash


class Offence(IntEnum):
    """What was signed twice."""

    PRODUCED = 0
    VOTED = 1


class EvidenceBody(Struct, frozen=True, gc=False):
    """Two signed headers, or two votes, of one delegate for one height. `first` is the smaller of the two, byte by byte."""

    offence: Offence
    delegate: bytes  # public key
    height: int
    first: bytes  # a header, or the hash of the block that was voted for
    first_signature: bytes
    second: bytes
    second_signature: bytes

    kind: ClassVar[Kind] = Kind.EVIDENCE

    def to_map(self) -> dict[int, Any]:
        fields = (self.delegate, self.height, self.first, self.first_signature, self.second, self.second_signature)
        return dict(enumerate((int(self.offence), *fields)))

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "EvidenceBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 7)
        if type(body[0]) is not int or body[0] not in (0, 1):
            raise TransactionInvalid("EVIDENCE is of an unknown offence")
        parsed = cls(Offence(body[0]), body[1], body[2], body[3], body[4], body[5], body[6])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless all has its form and the two are different, the smaller one first."""
        if not is_hash(self.delegate) or not is_count(self.height):
            raise TransactionInvalid("EVIDENCE has no delegate or an impossible height")
        signatures = (self.first_signature, self.second_signature)
        if not all(type(signature) is bytes and len(signature) == SIGNATURE_SIZE for signature in signatures):
            raise TransactionInvalid("EVIDENCE has a signature of the wrong size")
        signed = (self.first, self.second)
        if not all(type(one) is bytes for one in signed) or not self.first < self.second:
            raise TransactionInvalid("EVIDENCE is not of two different things in ascending order")
        if self.offence is Offence.VOTED and not all(is_hash(one) for one in signed):
            raise TransactionInvalid("EVIDENCE has a block hash of the wrong size")

    def verify(self, chain_id: ChainId) -> None:
        """Raises `chain.keys.SignatureInvalid` unless the delegate signed both, for this chain and height."""
        self._verify_one(chain_id, self.first, self.first_signature)
        self._verify_one(chain_id, self.second, self.second_signature)

    def _verify_one(self, chain_id: ChainId, signed: bytes, signature: bytes) -> None:
        if self.offence is Offence.VOTED:
            verify(self.delegate, VOTE, chain_id, encode([self.height, signed]), signature)
            return
        try:
            header = Header.from_bytes(signed)
        except BlockInvalid:
            raise SignatureInvalid("what was signed is no header") from None
        if (header.chain_id, header.height, header.producer) != (chain_id, self.height, self.delegate):
            raise SignatureInvalid("the header is of another chain, height or producer")
        verify(self.delegate, HEADER, chain_id, signed, signature)


def evidence_of(offence: Offence, delegate: bytes, height: int, one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> EvidenceBody:
    """The evidence that two (signed, signature) of one delegate make, whichever came first."""
    first, second = sorted((one, other))
    return EvidenceBody(offence, delegate, height, *first, *second)
