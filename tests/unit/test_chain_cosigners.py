"""With which key a delegate cosigns checkpoints: who may say so, and what is refused."""

import pytest
from chain_case import DELEGATES, ELECTED, GATEWAY, GENESIS, HOLDERS, key
from elected_case import RESIGN, StakeChain

from chain.encoding import encode
from chain.keys import COSIGNER
from chain.stake import DelegateAction, DelegateBody, cosigner
from chain.stake_entries import cosigner_at


@pytest.fixture
def chain():
    return StakeChain()


def cosigning(delegate, key_):
    """The registration of any key to cosign with, as that key signs it."""
    signature = key_.sign(COSIGNER, ELECTED.chain_id, encode([delegate.public, key_.public]))
    return DelegateBody(DelegateAction.COSIGN, key_.public, signature=signature)


def test_a_delegate_that_stands_says_with_which_key_it_cosigns(chain):
    first, second = cosigner(DELEGATES[0], ELECTED.chain_id), cosigning(DELEGATES[0], key("another"))
    chain.do(DELEGATES[0], first)
    assert cosigner_at(chain.overlay, DELEGATES[0].public) == (0, first.key)
    chain.do(DELEGATES[0], second)
    assert cosigner_at(chain.overlay, DELEGATES[0].public) == (1, second.key)
    assert chain.refused(DELEGATES[0], first) == "duplicate", "what was replaced does not come back"
    chain.do(DELEGATES[0], first, valid_until=99)
    chain.do(DELEGATES[0], RESIGN)
    assert cosigner_at(chain.overlay, DELEGATES[0].public) is None


def test_who_cosigns_with_what_is_refused(chain):
    assert chain.refused(HOLDERS[0], cosigner(HOLDERS[0], ELECTED.chain_id)) == "delegate-unknown"
    for taken in (DELEGATES[0], DELEGATES[1], HOLDERS[0], GATEWAY):
        assert chain.refused(DELEGATES[0], cosigning(DELEGATES[0], taken)) == "key-taken"
    assert chain.refused(DELEGATES[1], cosigner(DELEGATES[0], ELECTED.chain_id)) == "cosigner-signature-invalid"
    assert chain.refused(DELEGATES[0], cosigner(DELEGATES[0], GENESIS.chain_id)) == "cosigner-signature-invalid"
    chain.do(DELEGATES[0], RESIGN)
    assert chain.refused(DELEGATES[0], cosigner(DELEGATES[0], ELECTED.chain_id)) == "delegate-gone"
    assert StakeChain(GENESIS).refused(DELEGATES[0], cosigner(DELEGATES[0], GENESIS.chain_id)) == "delegates-fixed"
