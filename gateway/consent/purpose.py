"""What for: v3 ActReason codes, value set PurposeOfUse (http://terminology.hl7.org/ValueSet/v3-PurposeOfUse)."""

from typing import Protocol

from gateway.errors import Forbidden

SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
HEADER = "X-Purpose-Of-Use"
EMERGENCIES = frozenset({"BTG", "ETREAT"})  # only inside a signed assertion, never by a header, never granted ahead
_CODES = """
    BIORCH BTG CAREMGT CLINTRCH CLINTRCHNPC CLINTRCHPC CLINTRL CLMATTCH COC COVAUTH COVERAGE DISASTER DONAT DSRCH ELIGDTRM
    ELIGVER ENROLLM ERTREAT ETREAT FAMRQT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM HLEGAL HMARKT HOPERAT HOUTCOMS HPAYMT
    HPRGRP HQUALIMP HRESCH HSYSADMIN HTEST LABELING MEMADMIN METAMGT MILCDM MILDCRG PATADMIN PATRQT PATSFTY PERFMSR POARCH
    POPHLTH PRECLINTRCH PUBHLTH PWATRNY RECORDMGT REMITADV SUPNWK SYSDEV THREAT TRAIN TRANSRCH TREAT
"""
CODES = frozenset(_CODES.split())
GRANTABLE = CODES - EMERGENCIES


class Registered(Protocol):
    """Of a party, what it was registered for; without a list it may state any purpose but emergencies."""

    @property
    def purposes(self) -> tuple[str, ...]: ...


def purpose_of(party: Registered, header: str | None) -> str:
    """The purpose of a request: what `X-Purpose-Of-Use` states, a bare code, else the first that the party is registered for.

    Forbidden if it states one it may not, or states none and has no default.
    """
    stated = (header or "").strip()
    if not stated:
        if not party.purposes:
            raise Forbidden(f"state what for: {HEADER} with a v3 ActReason code such as TREAT or HPAYMT")
        stated = party.purposes[0]
    if stated in EMERGENCIES:
        raise Forbidden("an emergency is stated in the signed assertion, with who asks and why, never in a header")
    if stated not in CODES:
        raise Forbidden(f"{HEADER} is no code of the v3 value set PurposeOfUse")
    if party.purposes and stated not in party.purposes:
        raise Forbidden("this party is not registered for the purpose that it states")
    return stated
