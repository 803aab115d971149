"""Canonical bytes say what the input said, and say it only one way."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from fhir_adapters import parse_resource

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32) if chr(c) not in "\t\n\r"]), min_size=1
)
SPACE = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


class Spelled(str):
    """A number as it is to be written."""

    __slots__ = ()


QUANTITIES = st.fixed_dictionaries({"value": NUMBERS.map(Spelled)}, optional={"unit": TEXTS, "id": TEXTS})
EXTENSIONS = st.deferred(
    lambda: st.lists(
        st.fixed_dictionaries({"url": st.just("urn:x"), "valueString": TEXTS})
        | st.fixed_dictionaries({"url": st.just("urn:x"), "valueQuantity": QUANTITIES})
        | st.fixed_dictionaries({"url": st.just("urn:x"), "extension": EXTENSIONS}),
        min_size=1,
        max_size=3,
    )
)
OBSERVATIONS = st.fixed_dictionaries(
    {"resourceType": st.just("Observation"), "status": st.just("final"), "code": st.fixed_dictionaries({"text": TEXTS})},
    optional={
        "id": st.from_regex(r"[A-Za-z0-9\-.]{1,64}", fullmatch=True),
        "meta": st.fixed_dictionaries(
            {"tag": st.lists(st.fixed_dictionaries({"display": TEXTS}), min_size=1)}, optional={"versionId": st.just("7")}
        ),
        "subject": st.fixed_dictionaries({"reference": st.just("Patient/1")}, optional={"display": TEXTS}),
        "valueQuantity": QUANTITIES,
        "extension": EXTENSIONS,
        "note": st.lists(st.fixed_dictionaries({"text": TEXTS}), min_size=1, max_size=2),
        "_status": st.fixed_dictionaries({"extension": EXTENSIONS}),
    },
)


@st.composite
def written(draw, documents=OBSERVATIONS):
    """A document and one of the many texts that say it: keys in any order, white space, escapes."""
    document = draw(documents)

    def write(value) -> str:
        gap = draw(SPACE)
        if isinstance(value, Spelled):
            return gap + value
        if isinstance(value, str):
            return gap + json.dumps(value, ensure_ascii=draw(st.booleans()))
        if isinstance(value, list):
            return gap + "[" + ",".join(map(write, value)) + gap + "]"
        keys = draw(st.permutations(sorted(value)))
        return gap + "{" + ",".join(f"{json.dumps(key)}{gap}:{write(value[key])}" for key in keys) + gap + "}"

    return write(document).encode()


def value_of(text: bytes):
    """The document with numbers as they are spelled, without what the gateway sets."""
    document = json.loads(text, parse_float=Spelled, parse_int=Spelled)
    document.pop("id", None)
    document.setdefault("meta", {}).pop("versionId", None)
    return document


@given(written())
def test_nothing_is_lost_and_nothing_added(raw):
    content = parse_resource(raw).content({})
    assert value_of(content) == value_of(raw)
    assert json.loads(content, parse_float=Decimal).keys() == value_of(raw).keys()


@given(written())
def test_canonical_bytes_are_their_own_canonical_bytes(raw):
    content = parse_resource(raw).content({})
    again = content.replace(b'"meta":{},', b"", 1) if b'"meta":{}' in content else content
    assert parse_resource(again).content({}) == content


@given(written(), st.text(min_size=1, alphabet='abc"\\é/{}:,'))
def test_rewriting_is_rewriting_in_the_document(raw, target):
    resource = parse_resource(raw)
    expected = value_of(resource.content({}))
    if "subject" in expected:
        expected["subject"]["reference"] = target
    assert value_of(resource.content({"Patient/1": target})) == expected
