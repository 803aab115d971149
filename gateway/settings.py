"""What the operator decides: a flag wins over the environment, the environment over `DIR/settings.json`, that over the default.

Every value is checked when it is read; a bad one stops the start with a sentence that names it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

DEFAULT_HOME = Path("fhir-anchor-home")
DEFAULT_PORT = 8080
DATABASE_URLS = ("database_url", "ledger_url")
DEFAULT_BASE_URL = f"http://127.0.0.1:{DEFAULT_PORT}"


class BadSetting(Exception):
    """A setting cannot be used; the message names it, its value's fault and what would do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it, resolved. URLs are as given by the operator; None means "below `home`" or "as the request says"."""

    home: Path
    database_url: str | None = field(default=None, repr=False)  # may hold a password
    ledger_url: str | None = field(default=None, repr=False)
    bucket_url: str | None = None
    kek_uri: str | None = None
    base_url: str | None = None
    workers: int = 2
    timezone: str = "UTC"
    audit_cron: str = "15 2 * * *"  # when the nightly audit begins, in `timezone`
    ledger_switch: tuple[int, int] | None = None  # a planned version of the chain's format, and the height from which it is
    ledger_keep_epochs: int | None = None  # epochs whose transactions stay in the ledger's database; none: all
    metrics_address: tuple[str, int] | None = None  # host and port of /metrics; none: not served
    shared_systems: tuple[str, ...] = ()

    @property
    def genesis_path(self) -> Path:
        return self.home / "genesis.json"

    @property
    def keys_path(self) -> Path:
        return self.home / "keys"

    @property
    def kek_path(self) -> Path:
        """Where the file of the key-encryption keys lies; where a KMS wraps them, it is the one beside the other keys."""
        is_file = self.kek_uri is not None and self.kek_uri.startswith("file:")
        return Path(unquote(urlsplit(self.kek_uri).path)) if is_file else self.keys_path / "kek.json"

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home.resolve() / 'gateway.db'}"

    @property
    def effective_ledger_url(self) -> str:
        return self.ledger_url or f"sqlite:///{self.home.resolve() / 'ledger.db'}"

    @property
    def effective_bucket_url(self) -> str:
        return self.bucket_url or (self.home.resolve() / "bucket").as_uri()


def _url(*schemes: str) -> Callable[[str, str], str]:
    def check(name: str, text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise BadSetting(f"{name} is {text!r}; it must start with one of: {', '.join(s + '://' for s in schemes)}")
        return text

    return check


def _database_url(name: str, text: str) -> str:
    """The value may hold a password, so the sentence leaves it out."""
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return text
    from chain import postgresql

    try:
        postgresql.parse(text)
    except postgresql.BadAddress:
        raise BadSetting(f"{name} must be an address of the form sqlite:///PATH or {postgresql.FORM}") from None
    return text


def _kek_uri(name: str, text: str) -> str:
    from gateway.vault.kms import is_kms_uri

    if not (is_kms_uri(text) or (urlsplit(text).scheme == "file" and urlsplit(text).path.startswith("/"))):
        form = "file:///PATH or gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K"
        raise BadSetting(f"{name} is {text!r}; it must be of the form {form}")
    return text


def _base_url(name: str, text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise BadSetting(f"{name} is {text!r}; it must be the address that clients use, such as https://fhir.example.org")
    return text.rstrip("/")


def _address(name: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise BadSetting(f"{name} is {text!r}; it must be a port of this machine, such as 9464, or an address, such as 10.0.0.5:9464")
    return host.strip("[]") or "127.0.0.1", int(port)


def _workers(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise BadSetting(f"{name} is {text!r}; it must be a whole number from 1 to 256")
    return int(text)


def _switch(name: str, text: str) -> tuple[int, int]:
    from chain.format import FORMATS

    version, _, height = text.partition(" from ")
    if not (version.isdecimal() and height.isdecimal()):
        raise BadSetting(f"{name} is {text!r}; it must be a version and a height, such as '2 from 12001'")
    if int(version) not in FORMATS:
        raise BadSetting(f"{name} is {text!r}; this program knows versions 1 to {max(FORMATS)} of the chain's format")
    return int(version), int(height)


def _epochs(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise BadSetting(f"{name} is {text!r}; it must be a whole number from 1 on")
    return int(text)


def _timezone(name: str, text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadSetting(f"{name} is {text!r}; it must be a time zone of the tz database, such as Europe/Berlin") from error
    return text


def _cron(name: str, text: str) -> str:
    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError as error:
        raise BadSetting(f"{name} is {text!r}; it must be a cron expression of five fields, such as '15 2 * * *'") from error
    return text


# setting -> (environment variable, check). The one place that says what exists.
_CHECKS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "database_url": ("FHIR_ANCHOR_DATABASE_URL", _database_url),
    "ledger_url": ("FHIR_ANCHOR_LEDGER_URL", _database_url),
    "bucket_url": ("FHIR_ANCHOR_BUCKET_URL", _url("file", "gs")),
    "kek_uri": ("FHIR_ANCHOR_KEK_URI", _kek_uri),
    "base_url": ("FHIR_ANCHOR_BASE_URL", _base_url),
    "workers": ("FHIR_ANCHOR_WORKERS", _workers),
    "timezone": ("FHIR_ANCHOR_TIMEZONE", _timezone),
    "audit_cron": ("FHIR_ANCHOR_AUDIT_CRON", _cron),
    "ledger_switch": ("FHIR_ANCHOR_LEDGER_SWITCH", _switch),
    "ledger_keep_epochs": ("FHIR_ANCHOR_LEDGER_KEEP_EPOCHS", _epochs),
    "metrics_address": ("FHIR_ANCHOR_METRICS_ADDRESS", _address),
}


def home_from(flag: Path | None, environ: Mapping[str, str]) -> Path:
    """The home folder: `--home`, else FHIR_ANCHOR_HOME, else ./fhir-anchor-home."""
    return flag or (Path(environ["FHIR_ANCHOR_HOME"]) if environ.get("FHIR_ANCHOR_HOME") else DEFAULT_HOME)


def load_settings(home: Path, environ: Mapping[str, str] = os.environ, **flags: object) -> Settings:
    """Settings of the gateway at `home`. Raises BadSetting, also when `home` holds no gateway."""
    if (home / "keys").is_dir() and not (home / "genesis.json").is_file():
        raise BadSetting(f"{home / 'genesis.json'} is missing; put back the file that was made with this gateway")
    if not (home / "genesis.json").is_file():
        raise BadSetting(f"there is no gateway at {home}; make one with: fhir-anchor --home {home} init")
    saved = _saved(home / "settings.json")
    values: dict[str, Any] = {"shared_systems": tuple(saved.pop("shared_systems", ()))}
    for name, (variable, check) in _CHECKS.items():
        for source, text in ((f"--{name.replace('_', '-')}", flags.get(name)), (variable, environ.get(variable)), (name, saved.get(name))):
            if text not in (None, ""):
                values[name] = check(source, str(text))
                break
    return Settings(home=home, **values)


def databases_from(environ: Mapping[str, str]) -> dict[str, str]:
    """The addresses of databases that the environment has. Raises BadSetting."""
    found = {}
    for name in DATABASE_URLS:
        variable, check = _CHECKS[name]
        if environ.get(variable):
            found[name] = str(check(variable, environ[variable]))
    return found


def _saved(path: Path) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise BadSetting(f"{path} is not a JSON object: {error}") from error
    unknown = sorted(set(found) - set(_CHECKS) - {"shared_systems"})
    if unknown:
        raise BadSetting(f"{path} has settings that do not exist: {', '.join(unknown)}")
    return found


def save_settings(home: Path, chosen: Mapping[str, object]) -> None:
    """Write what `init` was told, so that later commands need no flags; readable by its owner alone. Values are checked as when read."""
    check_settings(chosen)
    kept = {name: value for name, value in chosen.items() if value not in (None, (), "")}
    path = home / "settings.json"
    path.touch(mode=0o600)
    path.write_bytes(_saved_text(kept))


def change_setting(home: Path, name: str, value: str) -> None:
    """Write one setting anew and leave the others; all or nothing, and durable when it returns. Raises BadSetting, OSError."""
    part = home / f".settings.json.{os.getpid()}.part"
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with part.open("wb") as file:
        file.write(_saved_text({**_saved(home / "settings.json"), name: value}))
        file.flush()
        os.fsync(file.fileno())  # before it takes the name: a power cut must not leave an empty file under it
    part.replace(home / "settings.json")
    folder = os.open(home, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _saved_text(kept: Mapping[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"


def check_settings(chosen: Mapping[str, object]) -> None:
    """Raises BadSetting."""
    for name, value in chosen.items():
        if name in _CHECKS and value not in (None, (), ""):
            _CHECKS[name][1]("--bucket" if name == "bucket_url" else f"--{name.replace('_', '-')}", str(value))
