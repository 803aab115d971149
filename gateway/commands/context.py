"""What every command needs: the home folder, and one way to speak to people and to programs.

Results go to stdout, everything else to stderr; `--json` makes the result one JSON document.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from gateway.settings import BadSetting, Settings, home_from, load_settings

DONE, FINDINGS, COULD_NOT = 0, 1, 2


class CouldNot(click.ClickException):
    """The command could not do or check what was asked: exit code 2 and a sentence that says why."""

    exit_code = COULD_NOT

    def show(self, file: Any = None) -> None:
        click.echo(f"fhir-anchor: {self.format_message()}", err=True, file=file)


def home_of(context: click.Context) -> Path:
    """`--home` of the outermost command, or its defaults."""
    return home_from(context.find_root().params.get("home"), os.environ)


def settings_of(context: click.Context, **flags: object) -> Settings:
    """Settings of the gateway that the command is about; BadSetting becomes exit code 2."""
    try:
        return load_settings(home_of(context), os.environ, **flags)
    except BadSetting as error:
        raise CouldNot(str(error)) from error


def tell(result: object, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print the result once: as JSON for programs, else as `text` for people."""
    click.echo(msgspec.json.encode(result).decode() if as_json else text())


def leave(code: int) -> NoReturn:
    """End with one of the three exit codes."""
    sys.exit(code)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
