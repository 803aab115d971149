"""Chains whose delegates are elected: one in memory, and steps that change the set of another."""

import pytest
from chain_case import DELEGATES, ELECTED, HOLDERS, NEW, MemoryChain, anchor, registration, vote
from msgspec.structs import replace

from chain.block import Header, sign_header, sign_vote
from chain.evidence import Offence, evidence_of
from chain.refusal import TransactionRefused
from chain.stake import DelegateAction, DelegateBody
from chain.stake_entries import delegate_at, stake_at
from chain.transactions import sign_transaction

RESIGN = DelegateBody(DelegateAction.RESIGN)


class StakeChain(MemoryChain):
    def __init__(self, genesis=ELECTED):
        super().__init__(genesis)

    @property
    def overlay(self):
        return self.execution.overlay

    def do(self, signer, body, valid_until=100):
        self.record(sign_transaction(body, valid_until, signer, self.genesis.chain_id).raw)

    def refused(self, signer, body, valid_until=100):
        before = dict(self.overlay.changes)
        with pytest.raises(TransactionRefused) as refusal:
            self.do(signer, body, valid_until)
        assert self.overlay.changes == before
        return refusal.value.reason.value

    def stake(self, holder):
        return stake_at(self.overlay, holder.public)

    def delegate(self, delegate):
        return delegate_at(self.overlay, delegate.public)


HEADER = Header(1, ELECTED.chain_id, 7, 9, 0, bytes(32), 0, bytes(32), bytes(33), bytes(32), bytes(32), DELEGATES[0].public, b"\x0f")


def signed_header(member=DELEGATES[0], **changes):
    header = replace(HEADER, **changes)
    return header.to_bytes(), sign_header(member, header.chain_id, header.to_bytes())


def signed_vote(hash_, member=DELEGATES[0], height=7, chain_id=ELECTED.chain_id):
    return hash_, sign_vote(member, chain_id, height, hash_)


def accusation(one, other, offence=Offence.PRODUCED, member=DELEGATES[0], height=7):
    return evidence_of(offence, member.public, height, one, other)


TWO_VOTES = (signed_vote(b"a" * 32), signed_vote(b"b" * 32))

PROVEN = {
    "two headers": accusation(signed_header(), signed_header(slot=10)),
    "the other way round": accusation(signed_header(slot=10), signed_header()),
    "two votes": accusation(*TWO_VOTES, Offence.VOTED),
}


def grow(chain, upto):
    """Blocks of one anchor each, up to a height."""
    while chain.ledger().height() < upto:
        chain.record(anchor(1000 + chain.slot))


def elect_new(chain):
    """In block 1 three new delegates are registered, in block 2 everybody votes for all seven: they act from block 9 on."""
    for member in NEW[:3]:
        chain.add_delegate(member)
    chain.reopen()
    chain.submit(*(registration(member) for member in NEW[:3]), signer=HOLDERS[0])
    chain.produce()
    for holder in HOLDERS:
        chain.submit(vote(*DELEGATES, *NEW[:3]), signer=holder)
    chain.produce()
