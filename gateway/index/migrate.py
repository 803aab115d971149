"""Bringing gateway.db to the schema this version knows: Alembic, forward only."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from gateway.errors import GatewayError


class SchemaUnknown(GatewayError):
    """The database is no gateway's, or a newer version's."""


def upgrade(connection: Connection, to: str = "head") -> None:
    """Create or upgrade the schema in the unit of `connection`, up to the revision `to`; nothing to do is no error."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def revision(connection: Connection) -> str:
    """Which revision the schema is. SchemaUnknown for one that this version does not know."""
    found = MigrationContext.configure(connection).get_current_revision()
    if found not in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}:
        raise SchemaUnknown("the database was made by a newer version of this software, or is no gateway's")
    return str(found)


def is_current(connection: Connection) -> bool:
    """Whether the schema is the newest that there is a migration for."""
    return MigrationContext.configure(connection).get_current_revision() == ScriptDirectory.from_config(_config()).get_current_head()


def missing(connection: Connection) -> list[str]:
    """What `upgrade` would do, oldest first: number and title of each migration."""
    scripts = ScriptDirectory.from_config(_config())
    done = MigrationContext.configure(connection).get_current_revision()
    found = list(scripts.iterate_revisions(scripts.get_current_head(), done or "base"))
    return [f"{script.revision} {script.doc}" for script in reversed(found)]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
