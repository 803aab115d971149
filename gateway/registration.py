"""Registering parties: their keys are made, the public halves go to the database and the ledger, the private ones to a file for them."""

import re
from pathlib import Path
from typing import cast

from chain.transactions import Role
from gateway.client import credentials
from gateway.index import parties
from gateway.index.parties import Party, Signing
from gateway.services import Services
from gateway.vault.primitives import Random, ed25519_public
from gateway.vault.submission import from_base64url

_ROLES = {"institution": Role.INSTITUTION, "agency": Role.AGENCY}
_SCOPES = {"institution": credentials.INSTITUTION_SCOPE, "agency": credentials.AGENCY_SCOPE}
_PURPOSE = re.compile(r"[A-Z][A-Z0-9]{1,19}", re.ASCII)


class PurposeUnknown(ValueError):
    """A purpose is no code of the v3 value set PurposeOfUse by its form."""


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

    The file comes first: a crash in between leaves credentials that open nothing, never a party whose keys are lost.
    """
    client_id = parties.new_client_id(name, random)
    held = credentials.new_credentials(base_url, client_id, _SCOPES[kind])
    attestation_seed = random(32)
    credentials.write(out, held)
    try:
        with services.index.atomic() as connection:
            return parties.register(
                connection,
                client_id=client_id,
                name=name,
                role=_ROLES[kind],
                signing=cast(Signing, signing),
                jwks={"keys": [credentials.public_jwk(held.private_jwk)]},
                signing_key=from_base64url(held.signing_jwk["x"]),
                attestation_key=ed25519_public(attestation_seed),
                attestation_sealed=services.keyring.seal(f"attestation-key/{client_id}", attestation_seed, random),
                purposes=_checked(purposes),
                now=now,
            )
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _checked(purposes: tuple[str, ...]) -> tuple[str, ...]:
    for purpose in purposes:
        if not _PURPOSE.fullmatch(purpose):
            raise PurposeUnknown(f"--purpose {purpose!r} is no v3 ActReason code, such as TREAT, HPAYMT or HRESCH")
    return purposes
