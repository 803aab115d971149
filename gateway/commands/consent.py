"""`fhir-anchor consent`: a patient says who may read what, and takes it back."""

import json
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
_NEEDED = {"to": "to", "types": "types", "purpose": "purposes", "until": "until"}
_OPTIONS = {"class": "--types", "purpose": "--purpose", "actor": "--to", "period": "--until"}


@click.group(
    epilog="Examples: fhir-anchor consent grant --as patient.json --to insurer-0a1b2c3d --types Observation --until 2031-01-01   "
    "fhir-anchor consent accesses --as patient.json"
)
def consent() -> None:
    """Nobody reads a patient's records but who issued them, unless the patient says so here."""


@consent.command(
    epilog="Example: fhir-anchor consent grant --as marit.json --to insurer-3f9a2b6c --types Observation,Condition --purpose HPAYMT"
    " --until 2030-01-01 --except-codes 'http://loinc.org|75622-1'"
)
@_as
@_url
@click.option("--to", metavar="CLIENT_ID", help="Who may read: the client id of a registered party.")
@click.option("--types", metavar="TYPE,...", help="Resource types, such as Observation,Condition.")
@click.option("--purpose", "purposes", metavar="CODE,...", help="What for: v3 ActReason codes, such as TREAT or HPAYMT.")
@click.option("--until", metavar="DATE", help="The last day (UTC) on which it holds, or an instant with its zone.")
@click.option("--except-codes", metavar="'SYSTEM|CODE,...'", help="But no record in which one of these codes stands.")
@click.option("--data-from", metavar="DATE", help="But no record of before this day (UTC), nor one that does not say when it was.")
@click.option("--data-until", metavar="DATE", help="But no record of after this day (UTC), nor one that does not say when it was.")
@click.option("--file", "file", metavar="CONSENT.json", type=click.Path(path_type=Path), help="A Consent of your own instead.")
@json_option
def grant(*, credentials_path: Path, url: str | None, file: Path | None, as_json: bool, **options: str | None) -> None:
    """Let a party read records of some types for a purpose, from now on. Exit code 1 if the gateway refuses it.

    The same grant once more, while the first stands, is the first.
    """
    from gateway.client.consent import ConsentRefused, grant_consent

    body, given = _from_file(file, options) if file else _from_options(options)
    with _connection(credentials_path, url) as connection:
        try:
            id_ = grant_consent(connection, body)
        except ConsentRefused as refused:
            _say("; ".join(_in_words(where, what, given) for where, what in refused.issues))
            leave(FINDINGS)
    named = {"to": options["to"], "types": given.get("--types"), "purposes": given.get("--purpose"), "until": options["until"]}
    told = {"id": id_, **({"file": str(file)} if file else named)}
    tell(told, as_json=as_json, text=lambda: f"Granted: {id_}\nTo take it back: fhir-anchor consent revoke --as {credentials_path} {id_}")


def _from_file(file: Path, options: dict[str, str | None]) -> tuple[bytes, dict[str, list[str]]]:
    if any(options.values()):
        raise CouldNot("--file is a whole Consent: give it alone")
    try:
        return file.read_bytes(), {}
    except OSError as error:
        raise CouldNot(f"{file}: {error.strerror or 'cannot be read'}") from error


def _from_options(options: dict[str, str | None]) -> tuple[bytes, dict[str, list[str]]]:
    """The Consent that the options make, and what was typed, by option."""
    from gateway.client.consent import consent_of, exceptions_of

    missing = [f"--{name}" for name, key in _NEEDED.items() if not options[key]]
    if missing:
        raise CouldNot(f"{', '.join(missing)} must be given, or --file with a Consent of your own")
    to, until, types, purposes = (options[key] or "" for key in ("to", "until", "types", "purposes"))
    _check_date("--until", until)
    for option, day in (("--data-from", options["data_from"]), ("--data-until", options["data_until"])):
        if day is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
            raise CouldNot(f"{option} {day!r} is no day such as 2020-01-01")
        if day is not None:
            _check_date(option, day)
    given = {"--to": [to], "--types": _list("--types", types), "--purpose": _list("--purpose", purposes), "--until": [until]}
    exceptions = exceptions_of(_codes(options["except_codes"]), options["data_from"], options["data_until"])
    consent = consent_of(to=to, types=given["--types"], purposes=given["--purpose"], until=until, exceptions=exceptions)
    return json.dumps(consent).encode(), given


def _codes(text: str | None) -> list[tuple[str, str]]:
    codes = [tuple(one.split("|")) for one in _list("--except-codes", text)] if text else []
    if not all(len(one) == 2 and all(one) for one in codes):
        raise CouldNot("--except-codes must be codes with their system, such as 'http://loinc.org|75622-1'")
    return [(system, code) for system, code in codes]


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
    values = given.get(option)
    if values is None:
        return f"{where}: {what}"
    at = int(place[2] or 0)
    return f"{option} {values[at] if at < len(values) else values[0]} {what}" if option != "--to" else f"--to {values[0]}: {what}"


def _say(words: str) -> None:
    click.echo(f"fhir-anchor: {words}", err=True)


def _line(one: "GrantedConsent") -> str:
    but = f"  but for {one.exceptions} exception{'s' * (one.exceptions > 1)}" if one.exceptions else ""
    return f"{one.id}  {one.status:<8}  {one.to}  {','.join(one.types)}  {','.join(one.purposes)}  until {one.until}{but}"
