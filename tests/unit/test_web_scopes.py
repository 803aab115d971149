import pytest

from chain.transactions import Role
from gateway.index.parties import PartyRole
from gateway.web.roles import scopes_of
from gateway.web.scopes import Scope, granted, parse_scopes


def ask(text, role=Role.INSTITUTION):
    return " ".join(map(str, granted(parse_scopes(text), scopes_of(role))))


@pytest.mark.parametrize("text", ["system/*.cruds", "system/*.rs", "system/Patient.r", "system/Patient.r system/Observation.cs"])
def test_version_2_scopes_of_an_institution_are_granted_as_asked(text):
    assert ask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "system/*.",
        "system/*.read",
        "system/*.*",
        "system/*.sr",
        "system/*.crudss",
        "user/*.cruds",
        "openid",
        "launch",
        "system/patient.r",
        "system/Patient.r?status=final",
        "system/Patient.r\nsystem/*.cruds",
        "SYSTEM/*.r",
        "system/*.x",
    ],
)
def test_what_is_not_understood_grants_nothing(text):
    assert parse_scopes(text) == ()


def test_what_is_understood_is_granted_beside_what_is_not():
    assert ask("openid system/Patient.r system/*.read") == "system/Patient.r"


def test_a_role_narrows_interactions():
    assert ask("system/*.cruds system/Patient.cr", Role.AGENCY) == "system/*.rs system/Patient.r"
    assert ask("system/*.cud", Role.AGENCY) == ""


def test_a_role_that_does_not_sign_in_gets_nothing():
    assert ask("system/*.cruds", role=Role.GATEWAY) == ""


def test_all_types_asked_of_one_allowed_is_that_one():
    assert granted([Scope("*", "cruds")], [Scope("Patient", "rs")]) == (Scope("Patient", "rs"),)


def test_a_scope_for_one_type_does_not_allow_all():
    assert Scope("Patient", "c").allows("c", "Patient")
    assert not Scope("Patient", "c").allows("c", "*")
    assert not Scope("Patient", "c").allows("r", "Patient")
    assert Scope("*", "c").allows("c", "Observation")


def test_a_patient_reads_and_only_a_patient_has_patient_scopes():
    assert ask("patient/*.cruds", PartyRole.PATIENT) == "patient/*.rs patient/Consent.c"
    assert ask("system/*.cruds patient/Observation.r", PartyRole.PATIENT) == "system/*.rs patient/Observation.r"
    assert ask("patient/*.rs", PartyRole.INSTITUTION) == ask("patient/*.rs", PartyRole.AGENCY) == ""
