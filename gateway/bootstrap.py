"""The composition root: from settings to open services. Everything that a process holds open is opened here, after its fork."""

import os
import time

from sqlalchemy.exc import DBAPIError

from chain import postgresql
from chain.genesis import Genesis
from chain.keys import ChainId
from chain.ledger import Ledger
from chain.transactions import Role
from gateway.errors import Unavailable
from gateway.index import secrets
from gateway.index.database import Index, open_index
from gateway.index.parties import Parties
from gateway.metrics import Metrics
from gateway.services import Services
from gateway.settings import BadSetting, Settings
from gateway.storage.opening import open_object_store
from gateway.storage.packs import object_reader
from gateway.vault.kek_file import KekFile
from gateway.vault.keyring import Keyring
from gateway.vault.kms import kms_of
from gateway.vault.primitives import Random
from gateway.vault.record_id import RecordIds


def open_services(settings: Settings, random: Random = os.urandom, metrics: Metrics | None = None) -> Services:
    """All that the flows need; they count in `metrics`.

    Raises BadSetting, vault.kek_file.KeyFileUnusable, vault.kms.KmsFailed or Unavailable, each with a sentence for the operator.
    """
    keyring = keyring_of(settings)
    index = open_index(settings.effective_database_url, keyring)
    verify_version(settings, index)
    with index.reading() as connection:
        own = secrets.load(connection, keyring)
    try:
        store = open_object_store(settings.effective_bucket_url)
    except ValueError as error:
        raise BadSetting(f"FHIR_ANCHOR_BUCKET_URL: {error}") from error
    genesis = read_genesis(settings)
    return Services(
        settings=settings,
        chain_id=ChainId(genesis.chain_id),
        gateway=next(party.client_id for party in genesis.parties if party.role is Role.GATEWAY),
        index=index,
        store=store,
        parties=Parties(index),
        keyring=keyring,
        ids=RecordIds(own["record-ids"]),
        index_key=own["index"],
        token_key=own["access-tokens"],
        clock=time.time,
        random=random,
        ledger=Ledger.open(settings.effective_ledger_url, genesis, object_reader(settings.effective_bucket_url)),
        metrics=metrics or Metrics(),
    )


def _is_current(index: Index, url: str) -> bool:
    try:
        return index.is_current()
    except Unavailable as error:
        if not postgresql.is_postgresql(url) or not isinstance(error.__cause__, DBAPIError):
            raise
        raise Unavailable(f"{postgresql.place(url)}: {postgresql.why(error.__cause__)}") from error


def keyring_of(settings: Settings) -> Keyring:
    """The keyring under the key-encryption key of `settings`, which is read when something is sealed or opened."""
    return Keyring(KekFile(settings.kek_path, kms_of(settings.kek_uri)))


def verify_version(settings: Settings, index: Index) -> None:
    """Raises BadSetting where another version of this software made the gateway's database, and Unavailable."""
    if not _is_current(index, settings.effective_database_url):
        made = f"the database of {settings.home} was made by another version of fhir-anchor"
        raise BadSetting(f"{made}; bring it up to date with: fhir-anchor --home {settings.home} upgrade")


def read_genesis(settings: Settings) -> Genesis:
    """The genesis of the gateway's chain. Raises chain.genesis.GenesisInvalid."""
    return Genesis.parse(settings.genesis_path.read_bytes())
