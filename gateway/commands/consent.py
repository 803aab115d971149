"""`fhir-anchor consent`: a patient says who may read what, and takes it back."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.context import FINDINGS, CouldNot, json_option, leave, tell

if TYPE_CHECKING:
    from gateway.client.connection import Connection
    from gateway.client.consent import GrantedConsent, LoggedAccess

_as = click.option("--as", "credentials_path", required=True, metavar="CRED.json", type=click.Path(path_type=Path), help="The patient.")
_url = click.option("--url", help="Address of the gateway, instead of the one in CRED.json.")
_PLACE = re.compile(r"Consent\.provision\.(class|purpose|actor|period)(?:\[(\d+)\])?.*")
_OPTIONS = {"class": "--types", "purpose": "--purpose", "actor": "--to", "period": "--until"}


@click.group()
def consent() -> None:
    """Nobody reads a patient's records but who issued them, unless the patient says so here."""


@consent.command(
    epilog="Example: fhir-anchor consent grant --as marit.json --to insurer-3f9a2b6c --types Observation,Condition --purpose HPAYMT"
    " --until 2030-01-01"
)
@_as
@_url
@click.option("--to", required=True, metavar="CLIENT_ID", help="Who may read: the client id of a registered party.")
@click.option("--types", required=True, metavar="TYPE,...", help="Resource types, such as Observation,Condition.")
@click.option("--purpose", "purposes", required=True, metavar="CODE,...", help="What for: v3 ActReason codes, such as TREAT or HPAYMT.")
@click.option("--until", required=True, metavar="DATE", help="The last day (UTC) on which it holds, or an instant with its zone.")
@json_option
def grant(*, credentials_path: Path, url: str | None, to: str, types: str, purposes: str, until: str, as_json: bool) -> None:
    """Let a party read records of some types for a purpose, from now on. Exit code 1 if the gateway refuses it.

    The same grant once more, while the first stands, is the first.
    """
    from gateway.client.consent import ConsentRefused
    from gateway.client.consent import grant as grant_it

    _check_date("--until", until)
    given = {"--to": [to], "--types": _list("--types", types), "--purpose": _list("--purpose", purposes), "--until": [until]}
    with _connection(credentials_path, url) as connection:
        try:
            id_ = grant_it(connection, to=to, types=given["--types"], purposes=given["--purpose"], until=until)
        except ConsentRefused as refused:
            _say("; ".join(_in_words(where, what, given) for where, what in refused.issues))
            leave(FINDINGS)
    told = {"id": id_, "to": to, "types": given["--types"], "purposes": given["--purpose"], "until": until}
    tell(told, as_json=as_json, text=lambda: f"Granted: {id_}\nTo take it back: fhir-anchor consent revoke --as {credentials_path} {id_}")


@consent.command(epilog="Example: fhir-anchor consent revoke --as marit.json 5f0c1d2e3b4a59687786950a1b2c3d4e")
@_as
@_url
@click.argument("id_", metavar="ID")
@json_option
def revoke(*, credentials_path: Path, url: str | None, id_: str, as_json: bool) -> None:
    """End a grant for good; once this returns, nothing more is disclosed by it. Exit code 1 if there is no such grant of yours."""
    from gateway.client.consent import ConsentRefused
    from gateway.client.consent import revoke as revoke_it

    with _connection(credentials_path, url) as connection:
        try:
            revoke_it(connection, id_)
        except ConsentRefused as refused:
            _say(str(refused))
            leave(FINDINGS)
        except ValueError as error:
            raise CouldNot(str(error)) from error
    tell({"id": id_, "status": "inactive"}, as_json=as_json, text=lambda: f"Revoked: {id_}")


@consent.command("list", epilog="Example: fhir-anchor consent list --as marit.json")
@_as
@_url
@json_option
def list_(*, credentials_path: Path, url: str | None, as_json: bool) -> None:
    """List every grant of yours, revoked ones included: what you granted, and what was granted to you."""
    from gateway.client.consent import ConsentRefused, granted

    with _connection(credentials_path, url, as_it_is=True) as connection:
        try:
            found = granted(connection)
        except ConsentRefused as refused:
            _say(str(refused))
            leave(FINDINGS)
    tell({"consents": [asdict(one) for one in found]}, as_json=as_json, text=lambda: "\n".join(map(_line, found)) or "No grants.")


@consent.command(epilog="Example: fhir-anchor consent accesses --as marit.json --since 2026-11-01")
@_as
@_url
@click.option("--since", metavar="DATE", help="From this day (UTC) on, or an instant with its zone.")
@json_option
def accesses(*, credentials_path: Path, url: str | None, since: str | None, as_json: bool) -> None:
    """List who was given which of your records, what for, by which grant; the last first.

    `receipt access` gets the proof of each, by its number.
    """
    from gateway.client.consent import ConsentRefused
    from gateway.client.consent import accesses as find_accesses

    if since is not None:
        _check_date("--since", since)
    with _connection(credentials_path, url) as connection:
        try:
            found = find_accesses(connection, since)
        except ConsentRefused as refused:
            _say(str(refused))
            leave(FINDINGS)
    told = {"accesses": [asdict(one) for one in found]}
    tell(told, as_json=as_json, text=lambda: "\n".join(map(_access, found)) or "Nobody has read anything by a grant of yours.")


def _access(one: "LoggedAccess") -> str:
    kinds = Counter(record.partition("/")[0] for record in one.records)
    what = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{one.sequence:>6}  {one.at}  {one.name} ({one.client_id})  {one.purpose}  {what}  by consent {one.consent}"


@contextmanager
def _connection(credentials_path: Path, url: str | None, *, as_it_is: bool = False) -> "Iterator[Connection]":
    """Signed in, with all that a patient may do, or as the credentials say; CouldNot where that fails."""
    from gateway.client.connection import Connection, SignInRefused, Unreachable
    from gateway.client.consent import as_patient
    from gateway.client.credentials import BadCredentials, read

    try:
        credentials = read(credentials_path).at(url)
        connection = Connection(credentials if as_it_is else as_patient(credentials))
        try:
            yield connection
        finally:
            connection.close()
    except (BadCredentials, Unreachable, SignInRefused) as error:
        raise CouldNot(str(error)) from error


def _check_date(option: str, date: str) -> None:
    from fhir_adapters.period import seconds_covered

    try:
        if not re.match(r"\d{4}-\d\d-\d\d(T|$)", date):
            raise ValueError
        seconds_covered(date)
    except ValueError:
        raise CouldNot(f"{option} {date!r} is no date such as 2030-01-01, and no instant such as 2030-01-01T12:00:00+01:00") from None


def _list(option: str, text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise CouldNot(f"{option} must be names with commas between them, such as Observation,Condition")
    return names


def _in_words(where: str, what: str, given: dict[str, list[str]]) -> str:
    """A fault of the Consent as one of what was typed."""
    place = _PLACE.fullmatch(where)
    if place is None:
        return f"{where}: {what}" if where else what
    option = _OPTIONS[place[1]]
    values = given[option]
    at = int(place[2] or 0)
    return f"{option} {values[at] if at < len(values) else values[0]} {what}" if option != "--to" else f"--to {values[0]}: {what}"


def _say(words: str) -> None:
    click.echo(f"fhir-anchor: {words}", err=True)


def _line(one: "GrantedConsent") -> str:
    return f"{one.id}  {one.status:<8}  {one.to}  {','.join(one.types)}  {','.join(one.purposes)}  until {one.until}"
