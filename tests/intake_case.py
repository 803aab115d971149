"""A gateway's flows on a folder of their own, without HTTP: real database, real store, real keys."""

import os
import time
from itertools import count

import databases
import msgspec
from sqlalchemy import func, select

from chain.keys import ChainId
from chain.transactions import Role
from gateway import sealing
from gateway.group_commit import GroupCommit
from gateway.identity.interaction import parse_interaction
from gateway.index import parties, secrets
from gateway.index.database import open_index
from gateway.index.parties import Parties
from gateway.index.schema import secret
from gateway.intake import receive
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.file_store import FileObjectStore
from gateway.submission import Submission, deletion_entry
from gateway.vault import primitives
from gateway.vault.keyring import Keyring
from gateway.vault.record_id import RecordIds

KEK = bytes(range(32))
CHAIN_ID = ChainId(bytes(32))
SIGNING_SEED = bytes(31) + b"\x01"
_requests = count(1)


def open_services(folder, store=None) -> Services:
    """The gateway in `folder`, made where there is none."""
    url = databases.new_gateway(folder)
    keyring = Keyring(KEK)
    index = open_index(url, keyring)
    (folder / "bucket").mkdir(exist_ok=True)
    with index.atomic() as connection:
        if not connection.scalar(select(func.count()).select_from(secret)):
            secrets.create(connection, keyring, os.urandom)
        keys = secrets.load(connection, keyring)
    services = Services(
        settings=Settings(home=folder),
        chain_id=CHAIN_ID,
        gateway="gateway",
        index=index,
        store=store or FileObjectStore(folder / "bucket"),
        parties=Parties(index),
        keyring=keyring,
        ids=RecordIds(keys["record-ids"]),
        index_key=keys["index"],
        token_key=keys["access-tokens"],
        clock=time.time,
        random=os.urandom,
    )
    alone = GroupCommit(index, services.store, services.metrics, time.time, capacity=100)  # tests have more threads than a worker
    object.__setattr__(services, "group_commit", alone)
    return services


def add_party(services, client_id="hospital-00000001", signing="gateway", seed=SIGNING_SEED):
    attestation = os.urandom(32)
    with services.index.atomic() as connection:
        return parties.register(
            connection,
            client_id=client_id,
            name="Hospital",
            role=Role.INSTITUTION,
            signing=signing,
            jwks={"keys": []},
            signing_key=primitives.ed25519_public(seed) if seed else None,
            attestation_key=primitives.ed25519_public(attestation),
            attestation_sealed=services.keyring.seal(sealing.attestation_context(client_id), attestation, os.urandom),
            purposes=(),
            now=int(time.time()),
        )


def post(services, sender, body, resource_type=None, if_none_exist=None, **given):
    """Submit `body` (bytes, or something to encode) as one request: a Bundle, or a create of a resource of this type."""
    interaction = parse_interaction("POST", resource_type, if_none_exist) if resource_type else None
    return submit(services, sender, body, interaction, **given)


def put(services, sender, address, body, if_match=None, **given):
    """Update `Type/id` or `Type?search`."""
    return submit(services, sender, body, parse_interaction("PUT", address, None, if_match), **given).results[0]


def delete(services, sender, address, if_match=None, **given):
    """Delete `Type/id` or `Type?search`."""
    interaction = parse_interaction("DELETE", address, None, if_match)
    return submit(services, sender, deletion_entry(address, if_match), interaction, **given).results[0]


def submit(services, sender, body, interaction, **given):
    if not isinstance(body, bytes):
        body = msgspec.json.encode(body)
    fields = {"media_type": "application/fhir+json", "request_id": f"request-{next(_requests)}", "received_at": time.time()}
    return receive(services, sender, Submission(body=body, interaction=interaction, **fields | given))


def transaction(*resources, bundle_type="transaction", **entry):
    """A Bundle of `resources`, each (fullUrl, resource)."""
    request = bundle_type in {"transaction", "batch"}
    return {
        "resourceType": "Bundle",
        "type": bundle_type,
        "entry": [
            ({"fullUrl": url} if url else {})
            | {"resource": resource}
            | ({"request": {"method": "POST", "url": resource["resourceType"]}} if request else {})
            | entry
            for url, resource in resources
        ],
    }
