"""Registering parties and enrolling patients: keys are made, the private halves go to a file for them, the public ones to the database.
Those of parties go to the ledger, too; it names no patient.
"""

from pathlib import Path
from typing import cast

from chain.transactions import PartyAction, PartyBody, Role
from gateway.client import credentials
from gateway.consent.purpose import CODES
from gateway.index import archives, parties, sources
from gateway.index.parties import Party, Signing
from gateway.sealing import attestation_context
from gateway.services import Services
from gateway.vault.primitives import Random, ed25519_public
from gateway.vault.submission import from_base64url

_ROLES = {"institution": Role.INSTITUTION, "agency": Role.AGENCY}
_SCOPES = {"institution": credentials.INSTITUTION_SCOPE, "agency": credentials.AGENCY_SCOPE}


class PurposeUnknown(ValueError):
    """A purpose is no code of the v3 value set PurposeOfUse."""


def register_party(
    services: Services,
    kind: str,
    name: str,
    purposes: tuple[str, ...],
    signing: str,
    base_url: str,
    out: Path,
    *,
    now: int,
    random: Random,
) -> Party:
    """Make keys, write CRED.json to `out`, then the party's row and its PARTY transaction in one unit.

    The file comes first and is never taken back: a fault in between leaves credentials that open nothing, never a party without keys.
    Raises TransactionInvalid and PurposeUnknown before anything is written.
    """
    checked = _checked(purposes)
    client_id = parties.new_client_id(name, random)
    held = credentials.new_credentials(base_url, client_id, _SCOPES[kind])
    signing_key, attestation_seed = from_base64url(held.signing_jwk["x"]), random(32)
    attestation_key = ed25519_public(attestation_seed)
    PartyBody(PartyAction.REGISTER, client_id, name, _ROLES[kind], signing_key, attestation_key).check()
    credentials.write(out, held)
    with services.index.atomic() as connection:
        return parties.register(
            connection,
            client_id=client_id,
            name=name,
            role=_ROLES[kind],
            signing=cast(Signing, signing),
            jwks={"keys": [credentials.public_jwk(held.private_jwk)]},
            signing_key=signing_key,
            attestation_key=attestation_key,
            attestation_sealed=services.keyring.seal(attestation_context(client_id), attestation_seed, random),
            purposes=checked,
            now=now,
        )


class NotOnePatient(Exception):
    """An identifier belongs to no patient here, or to several whose archives are not joined."""


def enrol_patient(
    services: Services, system: str, value: str, base_url: str, out: Path, *, now: int, random: Random, is_joined: bool = False
) -> Party:
    """Let the one patient with this identifier sign in; writes CRED.json to `out` first. Raises NotOnePatient.

    All that are joined must have the identifier, unless `is_joined` says that this was looked at: an institution could send a Patient that
    joins another's and has, beside, an identifier of somebody who would then sign in to both.

    Who may ask for this is the operator's to check: the command line is theirs, and there is no such address over HTTP.
    """
    token = services.tokens.identifier("Patient", system, value)
    client_id = f"patient-{random(8).hex()}"
    held = credentials.new_credentials(base_url, client_id, credentials.PATIENT_SCOPE)
    with services.index.atomic() as connection:
        rows = sources.rows_by_identifier(connection, [token]).get(token, set())
        found = archives.of_patient_resources(connection, rows)
        patients = set(archives.groups_of(connection, found).values())
        if len(patients) == 1 and not is_joined and found != set(next(iter(patients))):
            raise NotOnePatient("other Patients are joined with this one and do not have this identifier; see --joined")
        if len(patients) != 1:
            raise NotOnePatient(
                "no patient here has this identifier" if not found else f"{len(patients)} patients have this identifier; none is guessed"
            )
        credentials.write(out, held)
        return parties.enrol_patient(
            connection,
            client_id=client_id,
            archive=min(found),  # of those that are joined, the oldest that has it
            jwks={"keys": [credentials.public_jwk(held.private_jwk)]},
            signing_key=from_base64url(held.signing_jwk["x"]),
            now=now,
        )


def _checked(purposes: tuple[str, ...]) -> tuple[str, ...]:
    for purpose in purposes:
        if purpose not in CODES:
            raise PurposeUnknown(f"--purpose {purpose!r} is no v3 ActReason code, such as TREAT, HPAYMT or HRESCH")
    return purposes
