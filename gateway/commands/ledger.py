"""`fhir-anchor ledger`: look at the chain, and verify it from genesis."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.exc import DatabaseError

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.store import LedgerStore
from gateway.commands.context import CouldNot, json_option, leave, settings_of, tell
from gateway.errors import GatewayError
from gateway.settings import Settings


@click.group()
def ledger() -> None:
    """The chain of blocks that anchors every container. Both commands work whether or not the gateway runs."""


@contextmanager
def opened_ledger(settings: Settings) -> Iterator[tuple[LedgerStore, Genesis]]:
    """The stored chain, read-only; what hinders that becomes exit code 2."""
    from gateway.bootstrap import read_genesis

    try:
        genesis = read_genesis(settings)
        store = LedgerStore.open(settings.effective_ledger_url, genesis, read_only=True)
    except (LedgerError, OSError) as error:
        raise CouldNot(str(error)) from error
    except DatabaseError as error:
        raise CouldNot(f"ledger.db cannot be read: {error.orig}") from error
    try:
        yield store, genesis
    finally:
        store.close()


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger status --json")
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """How high the chain is, what waits for it, and what it refused."""
    settings = settings_of(context)
    with opened_ledger(settings) as (store, genesis):
        try:
            told = _status(settings, store, genesis, time.time())
        except (LedgerError, GatewayError) as error:
            raise CouldNot(f"{error}; `ledger verify` says where") from error
    tell(told, as_json=as_json, text=lambda: "\n".join(f"{name.replace('_', ' '):<22}{_shown(value)}" for name, value in told.items()))


def _status(settings: Settings, store: LedgerStore, genesis: Genesis, now: float) -> dict[str, Any]:
    from chain.ledger import Ledger
    from gateway.index import outbox
    from gateway.index.database import open_index

    reader = Ledger(store, genesis)
    head = reader.head()
    index = open_index(settings.effective_database_url)
    with index.reading() as connection:
        waiting = outbox.size(connection)
    index.close()
    return {
        "chain_id": genesis.chain_id.hex(),
        "height": head.height if head else 0,
        "head": head.hash().hex() if head else genesis.chain_id.hex(),
        "last_block_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(head.time)) if head else None,
        "slot": genesis.slot_at(now),
        "slot_seconds": genesis.slot_seconds,
        "transactions": head.log_size if head else 0,
        "delegates": len(genesis.delegates),
        "quorum": genesis.first_set.quorum,
        "in_outbox": waiting,
        "in_pool": reader.pending(),
        "rejected": [{"source": r.source, "reason": r.reason.value, "height": r.height} for r in reader.rejected()],
    }


def _shown(value: object) -> str:
    return str(len(value)) if isinstance(value, list) else "-" if value is None else str(value)


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger verify")
@json_option
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Verify every block from genesis, and every derived row. Exit code 1 if anything does not hold."""
    from gateway.commands.audit import report_text
    from jobs.audit import Audit, run_audit
    from jobs.audit_report import to_json

    report = run_audit(Audit(settings_of(context), int(time.time())), ("ledger",))
    tell(to_json(report), as_json=as_json, text=lambda: report_text(report))
    leave(report.exit_code)
