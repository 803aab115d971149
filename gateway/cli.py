"""`fhir-anchor`: the command line. Commands are loaded when they are called, so that each starts as fast as it can."""

import importlib
import re
from pathlib import Path
from typing import Any

import click

from gateway.commands.context import altered_told, stop_told

EXIT_CODES = "Exit codes: 0 done or clean, 1 findings or refused, 2 could not do or check it."

# command -> (module, attribute, one line of help). The lines stand here so that `--help` imports nothing.
_COMMANDS = {
    "demo": ("gateway.commands.demo", "demo", "Show the whole path in a folder of its own, from a hospital's push to a found tampering."),
    "init": ("gateway.commands.init", "init", "Make a new gateway: keys, genesis, databases, bucket."),
    "serve": ("gateway.commands.serve", "serve", "Run the gateway: HTTP workers and the jobs process."),
    "delegate": (
        "gateway.commands.delegate",
        "delegate",
        "Vote on the blocks of a gateway elsewhere, by an own copy of its chain.",
    ),
    "upgrade": ("gateway.commands.upgrade", "upgrade", "Bring a gateway that an earlier version made up to date."),
    "party": ("gateway.commands.party", "party", "Register institutions and agencies."),
    "patient": ("gateway.commands.patient", "patient", "Enrol patients, join their archives, erase or hold them."),
    "consent": ("gateway.commands.consent", "consent", "Grant and revoke, as a patient, who may read what."),
    "fetch": ("gateway.commands.fetch", "fetch", "Read what you may read, as NDJSON."),
    "push": ("gateway.commands.push", "push", "Send FHIR files, signed, and list their receipts."),
    "token": ("gateway.commands.token", "token", "Sign in and print an access token, for curl and other clients."),
    "receipt": ("gateway.commands.receipt", "receipt", "Get receipts, and verify them offline."),
    "ledger": ("gateway.commands.ledger", "ledger", "Look at the chain, verify it from genesis, and choose its delegates."),
    "audit": ("gateway.commands.audit", "audit", "Re-verify chain, storage, content and conduct."),
    "jobs": ("gateway.commands.jobs", "jobs", "What runs by itself in the background, and running it now."),
    "keys": ("gateway.commands.keys", "keys", "Replace the key-encryption key, or move it to a KMS."),
    "backup": ("gateway.commands.backup", "backup", "Make, verify and restore backups."),
    "bench": ("gateway.commands.bench", "bench", "Measure this machine and this gateway."),
}


class LateGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return _with_exit_codes(command)

    def invoke(self, ctx: click.Context) -> Any:
        with stop_told(), altered_told():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


def _with_exit_codes(command: click.Command) -> click.Command:
    """The same command; its help, and that of all below it, ends with its examples, a line each, and what the exit codes mean. In a list of
    commands it has its whole first sentence, of which click would cut the end.
    """
    if EXIT_CODES not in (command.epilog or ""):
        word, _, examples = (command.epilog or "").partition(": ")
        lines = "\n".join(["\b", f"{word}:", *(f"  {example}" for example in re.split(r" {3,}", examples))])
        command.epilog = f"{lines}\n\n{EXIT_CODES}" if examples else EXIT_CODES
    command.short_help = re.split(r"\.(?:\s|$)", " ".join((command.help or "").split()), maxsplit=1)[0]
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _with_exit_codes(below)
    return command


@click.group(
    cls=LateGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=EXIT_CODES,
)
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), help="Folder of the gateway [FHIR_ANCHOR_HOME; ./fhir-anchor-home]."
)
@click.version_option(package_name="fhir-anchor")
def main(home: Path | None) -> None:
    """A FHIR gateway that can prove what it says.

    \b
    fhir-anchor demo                                   see it work
    fhir-anchor --home DIR init                        make a gateway
    fhir-anchor --home DIR serve --port 8080           run it
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    _ = home  # read by gateway.commands.context.home_of
