"""The XHTML of a Narrative: http://hl7.org/fhir/R4/narrative.html, rule txt-1.

A narrative is shown to people in browsers, so what is not on the list of formatting elements and attributes is refused, not cleaned.
An empty div passes: HL7's own examples have some (against txt-2), and it harms nobody.
"""

import re
from typing import Any
from xml.parsers import expat


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAMESPACE = "http://www.w3.org/1999/xhtml"
_ELEMENTS = _words(
    """
    a abbr acronym address b bdo big blockquote br caption cite code col colgroup dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins
    kbd li map area ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var u
    """
)
_ATTRIBUTES = _words(
    """
    abbr accesskey align alt axis border bgcolor cellhalign cellpadding cellspacing cellvalign char charoff charset cite class colspan
    compact coords datetime dir frame headers height href hreflang hspace id idref ismap lang longdesc name nowrap rel rev rowspan rules
    scope shape span src start style summary tabindex target title type usemap valign value vspace width xml:lang xml:space xmlns
    """
)
_ADDRESSES = frozenset({"href", "src", "cite", "longdesc", "usemap"})
# Schemes that run code; browsers ignore white space and control characters inside a scheme.
_ACTIVE = re.compile(r"(?:javascript|vbscript|data:(?!image/(?:png|jpeg|gif|bmp)[;,]))", re.IGNORECASE)
_ACTIVE_STYLE = re.compile(r"expression\s*\(|javascript:|behaviou?r\s*:|@import|-moz-binding", re.IGNORECASE)
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028\u2029\ufeff]")


class _Refused(Exception):
    """What was found in the narrative that may not stand there."""


def narrative_fault(text: str) -> str | None:
    """The first rule that the `div` in `text` breaks, None if it keeps all."""
    parser = expat.ParserCreate(encoding="utf-8")
    parser.StartElementHandler = _Elements().start
    parser.StartDoctypeDeclHandler = _refuse_declaration
    parser.ProcessingInstructionHandler = _refuse_declaration
    try:
        parser.Parse(text.encode("utf-8"), True)
    except _Refused as refused:
        return str(refused)
    except expat.ExpatError:
        return "the narrative is not well-formed XHTML"
    return None


class _Elements:
    """What expat hands over, judged as it comes."""

    def __init__(self) -> None:
        self._is_root = True

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._is_root:
            self._is_root = False
            if name != "div" or attributes.get("xmlns") != _NAMESPACE:
                raise _Refused("the narrative is no div in the XHTML namespace")
        elif attributes.get("xmlns", _NAMESPACE) != _NAMESPACE:
            raise _Refused("the narrative has an element of another namespace")
        if name not in _ELEMENTS:
            raise _Refused("the narrative has an element that is not for formatting")
        for attribute, value in attributes.items():
            _check_attribute(attribute, value)


def _check_attribute(name: str, value: str) -> None:
    if name not in _ATTRIBUTES:
        raise _Refused("the narrative has an attribute that is not for formatting")
    if name in _ADDRESSES and _ACTIVE.match(_INVISIBLE.sub("", value)):
        raise _Refused("the narrative has an address that runs code")
    if name == "style" and _ACTIVE_STYLE.search(value):
        raise _Refused("the narrative has a style that runs code")


def _refuse_declaration(*_: Any) -> None:
    raise _Refused("the narrative has a declaration")
