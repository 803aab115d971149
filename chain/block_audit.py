"""What is wrong with one recorded block, and the checks that need no more than its row."""

from typing import Any

from sqlalchemy import Row

from chain import queries
from chain.block import BlockInvalid, Header, Vote, block_hash, verify_header_signature, verify_quorum
from chain.delegate_set import DelegateSet
from chain.encoding import EncodingError
from chain.findings import Code, Finding
from chain.keys import ChainId, SignatureInvalid


class BlockAudit:
    """The findings of one block."""

    def __init__(self, subject: str, chain_id: ChainId) -> None:
        self.subject, self._chain_id = subject, chain_id
        self.found: list[Finding] = []

    def find(self, code: Code, detail: str) -> None:
        self.found.append(Finding(code, self.subject, detail))

    def has(self, code: Code) -> bool:
        return any(finding.code is code for finding in self.found)

    def check_signature(self, row: Row[Any], header: Header) -> None:
        try:
            verify_header_signature(header.producer, header.chain_id, row.header, row.signature)
        except SignatureInvalid:
            self.find(Code.BLOCK_INVALID, "the producer's signature does not hold over the header")

    def check_votes(self, acting: DelegateSet, row: Row[Any], header: Header) -> tuple[Vote, ...]:
        """The votes, none if anything is wrong with them."""
        try:
            votes = queries.votes_from(row.votes)
            verify_quorum(self._chain_id, acting, header.height, block_hash(header.chain_id, row.header), votes)
        except EncodingError:
            self.find(Code.VOTE_INVALID, "the votes do not decode")
        except BlockInvalid as error:
            self.find(error.code, str(error))
        else:
            return votes
        return ()
