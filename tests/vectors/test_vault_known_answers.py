"""The vault's primitives against published vectors and against a second implementation (pycryptodome, or the RFC written out)."""

import hashlib
import hmac

import pytest
from Crypto.Cipher import AES
from Crypto.Protocol import HPKE
from Crypto.PublicKey import ECC
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from joserfc import jws
from joserfc.jwk import OKPKey

from gateway.vault import primitives
from gateway.vault.primitives import Prf, Unopened, WrapPrivateKey, WrapSuite
from gateway.vault.record_id import RecordIds
from gateway.vault.segments import padded_length
from gateway.vault.submission import from_base64url, sign, to_base64url, verify

INFO = b"fhir-anchor/bundle-wrap/v1\x00" + bytes(range(64))


@pytest.mark.parametrize(
    ("prk", "info", "okm"),
    [  # RFC 5869, A.1, A.2, A.3: the first block of each output
        (
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        ),
        (
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            bytes(range(0xB0, 0x100)).hex(),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
        ),
        (
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
        ),
    ],
)
def test_hkdf_expand_is_rfc_5869(prk, info, okm):
    assert primitives.hkdf_expand(bytes.fromhex(prk), bytes.fromhex(info)).hex() == okm


@pytest.mark.parametrize(
    ("key", "message", "mac"),
    [  # RFC 4231, 4.2, 4.3, 4.7
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ],
)
def test_the_copied_hmac_state_is_rfc_4231(key, message, mac):
    assert Prf(key).digest(message).hex() == mac


def test_a_segment_opens_with_pycryptodome():
    key, header_digest, plaintext = bytes(range(32)), bytes(range(32, 64)), b"one segment" * 40
    sealed = primitives.seal_segment(key, 7, header_digest, plaintext)
    segment_key = hmac.digest(key, b"fhir-anchor/segment-key/v1\x00\x00\x00\x00\x07\x01", "sha256")
    cipher = AES.new(segment_key, AES.MODE_GCM, nonce=bytes(12))
    cipher.update(header_digest + b"\x00\x00\x00\x07")
    assert cipher.decrypt_and_verify(sealed[:-16], sealed[-16:]) == plaintext


def test_a_keyring_item_opens_with_pycryptodome():
    item = primitives.seal_item(bytes(range(32)), b"context", b"secret", lambda n: b"s" * n)
    item_key = hmac.digest(bytes(range(32)), b"fhir-anchor/keyring-item/v1\x00" + b"s" * 32 + b"\x01", "sha256")
    cipher = AES.new(item_key, AES.MODE_GCM, nonce=bytes(12))
    cipher.update(b"context")
    assert item[:32] == b"s" * 32
    assert cipher.decrypt_and_verify(item[32:-16], item[-16:]) == b"secret"


def test_the_hybrid_public_key_is_x_wings():
    """draft-connolly-cfrg-xwing-kem, appendix C, first vector: how its public key begins."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    public = WrapPrivateKey(WrapSuite.MLKEM768_X25519, seed).public.raw
    assert len(public) == 1216
    assert public.hex().startswith("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5b19cfc3da5fa1a92c49f25513e0fd30d6b16")


def test_the_x25519_public_key_is_rfc_7748():
    """Section 6.1, Bob's."""
    seed = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    public = WrapPrivateKey(WrapSuite.X25519, seed).public.raw
    assert public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"


def test_hpke_x25519_interoperates_with_pycryptodome_both_ways():
    seed = bytes(range(1, 33))
    key = WrapPrivateKey(WrapSuite.X25519, seed)
    theirs = ECC.construct(curve="Curve25519", seed=seed)
    wrapped = key.public.wrap(b"k" * 32, INFO)
    receiver = HPKE.new(receiver_key=theirs, aead_id=HPKE.AEAD.AES256_GCM, info=INFO, enc=wrapped[:32])
    assert receiver.unseal(wrapped[32:]) == b"k" * 32
    sender = HPKE.new(receiver_key=theirs.public_key(), aead_id=HPKE.AEAD.AES256_GCM, info=INFO)
    assert key.unwrap(sender.enc + sender.seal(b"s" * 32), INFO) == b"s" * 32


def test_the_hybrid_wrap_opens_by_x_wing_and_rfc_9180_written_out():
    seed = bytes(range(32))
    wrapped = WrapPrivateKey(WrapSuite.MLKEM768_X25519, seed).public.wrap(b"k" * 32, INFO)
    enc, ciphertext = wrapped[:1120], wrapped[1120:]
    expanded = hashlib.shake_256(seed).digest(96)
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    lattice_secret = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(enc[:1088])
    curve_secret = curve.exchange(x25519.X25519PublicKey.from_public_bytes(enc[1088:]))
    combined = lattice_secret + curve_secret + enc[1088:] + curve.public_key().public_bytes_raw() + rb"\.//^" + b"\\"
    key, nonce = key_schedule(hashlib.sha3_256(combined).digest(), INFO, suite_id=b"HPKE\x64\x7a\x00\x01\x00\x02")
    assert AES.new(key, AES.MODE_GCM, nonce=nonce).decrypt_and_verify(ciphertext[:-16], ciphertext[-16:]) == b"k" * 32


def key_schedule(shared_secret, info, suite_id):
    """RFC 9180, 5.1, mode base: AES-256 key and base nonce."""

    def extract(salt, label, ikm):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite_id + label + ikm, "sha256")

    def expand(prk, label, context, length):
        text = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + context
        return hmac.digest(prk, text + b"\x01", "sha256")[:length]

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)


@pytest.mark.parametrize("suite", WrapSuite)
def test_a_wrap_opens_only_with_its_key_and_its_context(suite):
    key, other = WrapPrivateKey(suite, b"a" * 32), WrapPrivateKey(suite, b"b" * 32)
    wrapped = key.public.wrap(b"k" * 32, INFO)
    assert key.unwrap(wrapped, INFO) == b"k" * 32
    for holder, body, info in ((other, wrapped, INFO), (key, wrapped, INFO + b"x"), (key, wrapped[:-1], INFO), (key, b"", INFO)):
        with pytest.raises(Unopened):
            holder.unwrap(body, info)


def test_a_public_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="1216 bytes"):
        primitives.WrapPublicKey(WrapSuite.MLKEM768_X25519, bytes(32))


def test_a_private_key_does_not_show_its_seed():
    assert "6161" not in repr(WrapPrivateKey(WrapSuite.X25519, b"a" * 32))
    assert "aaaa" not in repr(WrapPrivateKey(WrapSuite.X25519, b"a" * 32))


def test_ed25519_is_rfc_8032():
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signature = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    public = primitives.ed25519_public(seed)
    assert public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert primitives.ed25519_sign(seed, b"").hex() == signature
    assert primitives.ed25519_is_valid(public, b"", bytes.fromhex(signature))
    assert not primitives.ed25519_is_valid(public, b"x", bytes.fromhex(signature))


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), bytes(31), b""])
def test_an_identity_or_malformed_key_verifies_nothing(public):
    assert not primitives.ed25519_is_valid(public, b"message", b"\x01" + bytes(63))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864 prefers the name Ed25519; the stored formats say EdDSA (RFC 8037)
def test_a_submission_signature_is_a_jws_to_joserfc_and_theirs_to_us():
    seed = b"s" * 32
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": b64(primitives.ed25519_public(seed)), "d": b64(seed)})
    ours = sign(seed, client_id="hospital-3f9a2b6c", iat=1000, count=2, root=b"r" * 32)
    assert jws.deserialize_compact(ours, key, algorithms=["EdDSA"]).payload.startswith(b'{"iss":"hospital-3f9a2b6c"')
    payload = b'{ "root": "%s", "iss": "hospital-3f9a2b6c", "iat": 1000, "count": 2 }' % (b"r" * 32).hex().encode()
    theirs = jws.serialize_compact({"alg": "EdDSA", "kid": "hospital-3f9a2b6c"}, payload, key, algorithms=["EdDSA"])
    public = primitives.ed25519_public(seed)
    assert verify(theirs, public=public, client_id="hospital-3f9a2b6c", count=2, root=b"r" * 32, now=1000).iat == 1000


def b64(body):
    assert from_base64url(to_base64url(body)) == body
    return to_base64url(body)


def test_record_ids_are_fips_197_blocks():
    """FIPS 197, appendix C.1, on a block that is a row: known from pycryptodome, whose AES passes C.1 itself."""
    key = bytes(range(16))
    assert AES.new(key, AES.MODE_ECB).encrypt(bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    expected = AES.new(key, AES.MODE_ECB).encrypt((5).to_bytes(8, "big") + bytes(8)).hex()
    assert RecordIds(key).encode([5]) == [expected]


@pytest.mark.parametrize(
    ("length", "padded"), [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (100, 104), (1000, 1024), (1025, 1088), (65537, 67584)]
)
def test_padme_lengths(length, padded):
    """Worked by hand from algorithm 1: floor(log2(L)) - floor(log2(floor(log2 L))) - 1 low bits are rounded up."""
    assert padded_length(length) == padded
