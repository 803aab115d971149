"""Bringing gateway.db to the schema this version knows: Alembic, forward only.

Alembic is imported where something is to be done: whether the schema is current is asked at the start of nearly every command.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaUnknown(GatewayError):
    """The database is no gateway's, or a newer version's."""


def upgrade(connection: Connection, to: str = "head") -> None:
    """Create or upgrade the schema in the unit of `connection`, up to the revision `to`; nothing to do is no error."""
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def revision(connection: Connection) -> str:
    """Which revision the schema is. SchemaUnknown for one that this version does not know."""
    found = _reached(connection)
    if found is None or found not in _revisions():
        raise SchemaUnknown("the database was made by a newer version of this software, or is no gateway's")
    return found


def is_current(connection: Connection) -> bool:
    """Whether the schema is the newest that there is a migration for."""
    return _reached(connection) == _revisions()[-1]


def missing(connection: Connection) -> list[str]:
    """What `upgrade` would do, oldest first: number and title of each migration."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config())
    found = list(scripts.iterate_revisions(scripts.get_current_head(), _reached(connection) or "base"))
    return [f"{script.revision} {script.doc}" for script in reversed(found)]


def _reached(connection: Connection) -> str | None:
    """Where Alembic left the schema; None: it made none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _revisions() -> list[str]:
    """All that this version knows, oldest first: what their files are called begins with their number."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
