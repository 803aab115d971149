"""RFC 8032 key pairs, and the keys and signatures that verifiers disagree about (Chalkias et al., "Taming the many EdDSAs", 2020)."""

import pytest
from nacl.bindings import crypto_core_ed25519_scalar_add, crypto_sign, crypto_sign_seed_keypair

from chain import keys
from chain.keys import ChainId, SignatureInvalid, SigningKey, is_valid_public_key, labelled, verify

CHAIN = ChainId(bytes(32))
PAIRS = {  # RFC 8032, 7.1
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7": "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
}
UNUSABLE = {
    "identity": "01" + "00" * 31,
    "identity, not canonical": "01" + "00" * 30 + "80",
    "order 2": "ec" + "ff" * 30 + "7f",
    "order 4": "00" * 32,
    "order 4, other sign": "00" * 31 + "80",
    "order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "order 8, second": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "y = p, not canonical": "ed" + "ff" * 30 + "7f",
    "y = p + 1, not canonical": "ee" + "ff" * 30 + "7f",
    "mixed order": "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
    "no point of the curve": "02" + "00" * 31,
    "too short": "d75a98",
    "empty": "",
}
ORDER = (1 << 252) + 27742317777372353535851937790883648493


@pytest.mark.parametrize(("seed", "public"), PAIRS.items())
def test_key_pairs(seed, public):
    assert SigningKey.from_seed(bytes.fromhex(seed)).public.hex() == public
    assert is_valid_public_key(bytes.fromhex(public))


@pytest.mark.parametrize("public", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_keys_are_refused(public):
    assert not is_valid_public_key(bytes.fromhex(public))


@pytest.mark.parametrize("public", list(UNUSABLE.values())[:7])
def test_a_small_order_key_verifies_nothing(public):
    with pytest.raises(SignatureInvalid):
        verify(bytes.fromhex(public), keys.VOTE, CHAIN, b"any", bytes.fromhex("01" + "00" * 31) + bytes(32))


def test_what_is_signed_is_label_chain_and_message():
    public, secret = crypto_sign_seed_keypair(bytes(32))
    signature = SigningKey.from_seed(bytes(32)).sign(keys.VOTE, CHAIN, b"message")
    assert signature == crypto_sign(b"fhir-anchor/vote/v1\x00" + bytes(32) + b"message", secret)[:64]
    verify(public, keys.VOTE, CHAIN, b"message", signature)


@pytest.mark.parametrize(
    ("label", "chain", "message"),
    [(keys.HEADER, CHAIN, b"message"), (keys.VOTE, ChainId(b"\x01" * 32), b"message"), (keys.VOTE, CHAIN, b"massage")],
)
def test_a_signature_holds_for_its_label_chain_and_message_only(label, chain, message):
    key = SigningKey.from_seed(bytes(32))
    signature = key.sign(keys.VOTE, CHAIN, b"message")
    with pytest.raises(SignatureInvalid):
        verify(key.public, label, chain, message, signature)


def test_a_second_form_of_a_signature_is_refused():
    key = SigningKey.from_seed(bytes(32))
    signature = key.sign(keys.VOTE, CHAIN, b"message")
    scalar = int.from_bytes(signature[32:], "little")
    assert crypto_core_ed25519_scalar_add(signature[32:], bytes(32)) == signature[32:]
    malleated = signature[:32] + (scalar + ORDER).to_bytes(32, "little")
    with pytest.raises(SignatureInvalid):
        verify(key.public, keys.VOTE, CHAIN, b"message", malleated)


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_signatures_of_the_wrong_size_or_content(signature):
    with pytest.raises(SignatureInvalid):
        verify(SigningKey.from_seed(bytes(32)).public, keys.VOTE, CHAIN, b"", signature)


def test_labels_are_distinct_and_hold_no_separator():
    labels = [value for name, value in vars(keys).items() if name.isupper() and isinstance(value, bytes)]
    assert len(set(labels)) == len(labels) == 14
    assert not any(b"\x00" in label or not label.startswith(b"fhir-anchor/") or not label.endswith(b"/v1") for label in labels)
    assert labelled(b"a", CHAIN, b"b") == b"a\x00" + CHAIN + b"b"


def test_a_key_keeps_its_secret_to_itself():
    key = SigningKey.from_seed(b"\x07" * 32)
    assert b"\x07" * 4 not in repr(key).encode()
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey.from_seed(b"short")
