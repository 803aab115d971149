"""Consents to try things on."""

import copy

from gateway.client.consent import consent_of


def optin(to="insurer-00000001", types=("Observation",), purposes=("HPAYMT",), until="2030-01-01"):
    """Permits by its root provision."""
    return consent_of(to=to, types=types, purposes=purposes, until=until)


def optout(**terms):
    """Withholds all but what its nested provision permits."""
    made = optin(**terms)
    made["policyRule"]["coding"][0]["code"] = "OPTOUT"
    made["provision"] = {"type": "deny", "provision": [made["provision"] | {"type": "permit"}]}
    return made


def changed(consent, path, value):
    """A copy with `value` at `path` (keys and positions); ... takes it away."""
    made = copy.deepcopy(consent)
    at = made
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made
