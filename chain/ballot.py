"""What a delegate elsewhere sends in: its vote on a proposal or, in its own slot, its signature on the block that was built for it; and
once a block is final, its cosignature of the log's checkpoint.

`{0: 1, 1: duty, 2: height, 3: block hash, 4: delegate's public key, 5: signature}`, duty 1 for the producer's signature over the header,
2 for a vote, 3 for a cosignature (docs/design/checkpoint.md). The signatures are those that the block or the checkpoint will carry; the
ballot itself needs none.
"""

from msgspec import Struct

from chain.block import verify_header_signature, verify_vote_of
from chain.checkpoint import COSIGNATURE_SIZE
from chain.encoding import EncodingError, decode, encode
from chain.errors import LedgerError
from chain.keys import PUBLIC_KEY_SIZE, SIGNATURE_SIZE, ChainId
from chain.kinds import MAX_HEIGHT
from chain.watermark import Duty

VERSION = 1
MAX_BALLOT_BYTES = 256  # one of version 1 has at most 160
_DUTIES = {1: Duty.PRODUCE, 2: Duty.VOTE, 3: Duty.COSIGN}
_SIZES = {duty: (32, PUBLIC_KEY_SIZE, COSIGNATURE_SIZE if duty is Duty.COSIGN else SIGNATURE_SIZE) for duty in Duty}


class BallotInvalid(LedgerError):
    """The bytes are no ballot."""


class Ballot(Struct, frozen=True):
    """One signature of one delegate, with what it is over."""

    duty: Duty
    height: int
    block_hash: bytes
    delegate: bytes  # public key
    signature: bytes

    def to_bytes(self) -> bytes:
        number = next(number for number, duty in _DUTIES.items() if duty is self.duty)
        return encode({0: VERSION, 1: number, 2: self.height, 3: self.block_hash, 4: self.delegate, 5: self.signature})

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Ballot":
        """Reads strictly; the signature is not looked at. Raises `BallotInvalid`."""
        try:
            fields = decode(raw) if len(raw) <= MAX_BALLOT_BYTES else None
        except EncodingError:
            fields = None
        if type(fields) is not dict or list(fields) != list(range(6)):
            raise BallotInvalid("the bytes do not decode to the fields of a ballot")
        version, duty, height, *rest = fields.values()
        if [type(number) for number in (version, duty, height)] != [int] * 3 or version != VERSION or duty not in _DUTIES:
            raise BallotInvalid("the ballot has an unknown version or duty")
        if not 0 < height <= MAX_HEIGHT or any(
            type(part) is not bytes or len(part) != size for part, size in zip(rest, _SIZES[_DUTIES[duty]], strict=True)
        ):
            raise BallotInvalid("the ballot has an impossible height, or a hash, key or signature of the wrong size")
        return cls(_DUTIES[duty], height, *rest)

    def verify(self, chain_id: ChainId, header: bytes) -> None:
        """Of a signature that a block carries; `header` is that of the ballot's block. Raises `chain.keys.SignatureInvalid`."""
        if self.duty is Duty.PRODUCE:
            verify_header_signature(self.delegate, chain_id, header, self.signature)
        else:
            verify_vote_of(self.delegate, chain_id, self.height, self.block_hash, self.signature)
