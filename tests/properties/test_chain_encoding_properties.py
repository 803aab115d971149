from hypothesis import given
from hypothesis import strategies as st

from chain.encoding import EncodingError, decode, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=80) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 23), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_encoded_is_decoded(value):
    assert decode(encode(value)) == value


@given(VALUES, VALUES)
def test_different_values_have_different_encodings(one, other):
    assert (encode(one) == encode(other)) == (repr(one_order(one)) == repr(one_order(other)))


@given(st.binary(max_size=200))
def test_bytes_are_refused_or_the_one_encoding(data):
    try:
        value = decode(data)
    except EncodingError:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_a_changed_byte_is_refused_or_another_value(value, data):
    encoded = bytearray(encode(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        assert encode(decode(bytes(encoded))) == bytes(encoded)
    except EncodingError:
        return


def one_order(value):
    """The value with its maps sorted; its repr tells True from 1."""
    if isinstance(value, dict):
        return {key: one_order(value[key]) for key in sorted(value)}
    return [one_order(item) for item in value] if isinstance(value, list) else value
