"""PostgreSQL, for the ledger and for whoever else keeps rows there: engines, what their errors mean, what may be said of an address.

An address may hold a password. Nothing puts an address, or what the driver says of one, into a message: `place` is what may be shown, `why`
says what went wrong in words of our own.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

DRIVER = "postgresql+psycopg"
FORM = f"{DRIVER}://USER:PASSWORD@HOST/DATABASE"
STATEMENT_SECONDS = 60  # no request waits longer for one statement; audits read in batches
IDLE_SECONDS = 60  # in an open transaction: a process that was stopped in one must not hold up the others for ever
UNHURRIED = f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}"

# Dead peers are noticed within half a minute.
_LIBPQ = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "fhir-anchor",
}
_PASSING = frozenset({"25P03", "25006", "57P01", "57P02", "57P03"})  # ended while idle, only readable (a standby), server stops or starts

# What the server or the client library says -> what that means for the operator. The first that fits.
_WORDS = (
    (("password authentication failed", "no password supplied", "pg_hba.conf"), "it refuses the user or the password"),
    (("permission denied", "must be owner"), "the user lacks rights there: let it own the database, or GRANT it CREATE ON SCHEMA public"),
    (("does not exist",), "there is no such database, user or table; make it first (createuser, createdb)"),
    (("too many clients", "remaining connection slots"), "it has no connection left (max_connections)"),
    (("read-only transaction",), "it can only be read; it may be a standby"),
    (("certificate", "SSL"), "no TLS connection could be made (sslmode, sslrootcert)"),
    (("canceling statement", "timeout expired"), "it did not answer in time"),
)
_OTHERWISE = "it cannot be reached; is it running, and is the address right?"


class BadAddress(ValueError):
    """No address of a PostgreSQL database. The message does not repeat it."""


def is_postgresql(url: str) -> bool:
    """Whether `url` is meant for PostgreSQL."""
    return url.startswith("postgres")


def parse(url: str) -> URL:
    """The address, taken apart. Raises `BadAddress`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadAddress(f"this is no address of the form {FORM}") from None
    if parsed.drivername != DRIVER or not parsed.database:
        raise BadAddress(f"an address of a PostgreSQL database has the form {FORM}")
    return parsed


def place(url: str) -> str:
    """What may be said of an address: no user, no password, no parameters."""
    parsed = parse(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"the PostgreSQL database {parsed.database!r} at {parsed.host or 'this machine'}{port}"


def is_same(one: str, other: str) -> bool:
    """Whether two addresses name one database, as far as addresses tell."""
    first, second = parse(one), parse(other)
    return (first.host, first.port, first.database, first.query.get("host")) == (
        second.host,
        second.port,
        second.database,
        second.query.get("host"),
    )


def open_engine(
    url: str,
    *,
    patience: float,
    idle: float = IDLE_SECONDS,
    read_only: bool = False,
    unreachable: Callable[[str], Exception] | None = None,
    **pool: Any,
) -> Engine:
    """An engine whose commits are on disk when they return; nothing is connected yet. Raises `BadAddress`.

    In seconds: `patience` for a connection, and for a lock; `idle` for doing nothing in a transaction that writes. With `unreachable`
    whatever passes by itself (`is_passing`) is raised as what that makes of a sentence, wherever the engine is used.
    """
    engine = create_engine(
        parse(url),
        connect_args={"connect_timeout": max(2, round(patience)), **_LIBPQ},
        pool_pre_ping=True,  # after the server was away, the first request finds out, not the first caller
        hide_parameters=True,
        paramstyle="format",  # rows go to the driver as tuples
        **pool,
    )
    setup = (
        f"SET statement_timeout = {STATEMENT_SECONDS * 1000}; SET lock_timeout = {round(patience * 1000)};"
        f"SET idle_in_transaction_session_timeout = {round((IDLE_SECONDS if read_only else idle) * 1000)};"
        f"SET default_transaction_read_only = {'on' if read_only else 'off'};"
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.execute(setup)
        connection.commit()

    if unreachable is not None:

        @event.listens_for(engine, "handle_error")
        def translate(context: ExceptionContext) -> None:
            error = context.sqlalchemy_exception
            if isinstance(error, DBAPIError) and is_passing(error) and not context.is_pre_ping:  # else no new connection is tried
                raise unreachable(f"{place(url)}: {why(error)}") from error

    return engine


def is_passing(error: DBAPIError) -> bool:
    """Whether the same may succeed later, unchanged: the server is away, busy or full, or a lock was not to be had."""
    return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated or state_of(error) in _PASSING


def state_of(error: DBAPIError) -> str | None:
    """The SQLSTATE, where the server gave one."""
    return getattr(error.orig, "sqlstate", None)


def why(error: DBAPIError) -> str:
    """What an error means, in words that hold nothing of the address or of the data."""
    said = str(error.orig)
    return next((words for signs, words in _WORDS if any(sign in said for sign in signs)), _OTHERWISE)


def is_empty(engine: Engine) -> bool:
    """Whether there is nothing in the schema that new tables go to."""
    found = inspect(engine)
    return not (found.get_table_names() or found.get_view_names() or found.get_sequence_names())


def drop_all(engine: Engine) -> None:
    """Take away every table of the schema: only for whoever has just made them all."""
    with engine.begin() as connection:
        for name in inspect(connection).get_table_names():
            connection.execute(text(f'DROP TABLE "{name}" CASCADE'))
