"""Values from the FHIR R4 data types page (http://hl7.org/fhir/R4/datatypes.html) and their nearest wrong neighbours."""

import pytest

from fhir_adapters.primitives import number_fault, string_fault

RIGHT = {
    "base64Binary": ["YQ==", "YWI=", "YWJj", "YWJj YWJj", "YW\nJj"],
    "code": ["a", "a b", "8302-2"],
    "date": ["2018", "1973-06", "1905-08-23", "2000-02-29", "2024-02-29", "9999-12-31"],
    "dateTime": [
        "2018",
        "1973-06",
        "1905-08-23",
        "2015-02-07T13:28:17-05:00",
        "2017-01-01T00:00:00.000Z",
        "2016-12-31T23:59:60Z",
        "2020-01-01T00:00:00+14:00",
    ],
    "id": ["a", "A-1.b", "x" * 64],
    "instant": ["2015-02-07T13:28:17.239+02:00", "2017-01-01T00:00:00Z"],
    "oid": ["urn:oid:1.2.3.4.5", "urn:oid:2.16.840"],
    "string": ["a", " a ", "a\nb", "é"],
    "time": ["13:28:17", "00:00:00.5"],
    "uri": ["http://loinc.org", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "x"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
}
WRONG = {
    "base64Binary": ["Y", "YQ", "YQ=", "YQ===", "Y$==", "=", " "],
    "code": ["", " a", "a ", "a  b", "\n"],
    "date": [
        "",
        "18",
        "0000",
        "2018-13",
        "2018-00",
        "2018-1",
        "2018-02-29",
        "1900-02-29",
        "2100-02-29",
        "2018-04-31",
        "2018-06-31",
        "2018-01-32",
        "2018-01-01T00:00:00Z",
        "2018-01-01\n",
        "２018",
    ],
    "dateTime": [
        "2015-02-07T13:28:17",
        "2015-02-07T24:00:00Z",
        "2015-02-07T13:28Z",
        "2015-02-07 13:28:17Z",
        "2015-02-30T13:28:17Z",
        "2015-02-07T13:28:17+14:01",
        "2015-02-07T13:28:17.Z",
        "2015-02T13:28:17Z",
    ],
    "id": ["", "a" * 65, "a_b", "a/b", "a\n"],
    "instant": ["2015", "2015-02-07", "2015-02-07T13:28:17"],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02"],
    "string": ["", "\x00", "\x1f"],
    "time": ["24:00:00", "13:28", "13:28:17Z"],
    "uri": ["", "a b", "a\n"],
    "uuid": ["c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:c757873d"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in RIGHT.items() for text in texts])
def test_right(kind, text):
    assert string_fault(kind, text) is None


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts])
def test_wrong(kind, text):
    assert string_fault(kind, text) is not None


@pytest.mark.parametrize(
    ("kind", "spelled", "is_right"),
    [
        ("decimal", b"1.50", True),
        ("decimal", b"-0.0", True),
        ("decimal", b"1e2", True),
        ("decimal", b"1E-22", True),
        ("decimal", b"1e1000", False),
        ("decimal", b"1" * 65, False),
        ("decimal", b"01", False),
        ("decimal", b"1.", False),
        ("decimal", b"true", False),
        ("integer", b"0", True),
        ("integer", b"-2147483648", True),
        ("integer", b"2147483647", True),
        ("integer", b"2147483648", False),
        ("integer", b"-0", False),
        ("integer", b"1.0", False),
        ("integer", b"1e2", False),
        ("unsignedInt", b"0", True),
        ("unsignedInt", b"-1", False),
        ("positiveInt", b"1", True),
        ("positiveInt", b"0", False),
    ],
)
def test_numbers(kind, spelled, is_right):
    assert (number_fault(kind, spelled) is None) is is_right
