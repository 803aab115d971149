"""Every command says what it does, shows an example that its own parser takes, says what its exit codes mean, and speaks JSON."""

import re
import shlex
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from gateway.cli import main

# What prints no result of its own, or nothing but a JSON document already.
_NO_JSON = {"serve", "receipt get", "receipt access", "delegate"}


def _walk(group, context, path=()):
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _walk(command, click.Context(command, parent=context), (*path, name))


COMMANDS = dict(_walk(main, click.Context(main)))
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


GROUPS = {path: command for path, command in COMMANDS.items() if isinstance(command, click.Group)}


def _named(commands):
    return pytest.mark.parametrize("path", commands, ids=" ".join)


@_named(COMMANDS)
def test_help_says_what_it_does_and_what_the_exit_codes_mean(path):
    shown = CliRunner().invoke(main, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    assert COMMANDS[path].help, "no docstring"
    assert "Exit codes: 0 done or clean, 1 findings or refused, 2 could not do or check it." in " ".join(shown.output.split())


@_named(COMMANDS)
def test_every_option_says_what_it_is_for(path):
    assert [p.name for p in COMMANDS[path].params if isinstance(p, click.Option) and not p.help] == []


@_named(LEAVES)
def test_the_example_is_a_call_of_this_very_command(path):
    epilog = LEAVES[path].epilog.partition("Exit codes:")[0]
    assert re.match(r"\x08\nExamples?:\n", epilog), "no example"
    for example in epilog.strip().splitlines()[2:]:
        call = re.search(r"\$\((.*)\)", example)  # curl with a token that is fetched beside it
        program, *arguments = shlex.split(call[1] if call else example)
        assert program == "fhir-anchor"
        if arguments[0] == "--home":
            del arguments[:2]
        assert tuple(arguments[: len(path)]) == path
        _parse(LEAVES[path], arguments[len(path) :])


@_named(GROUPS)
def test_a_group_has_examples_of_its_own_commands_and_cuts_no_summary(path):
    shown = CliRunner().invoke(main, [*path, "--help"]).output
    listed = " ".join(shown.partition("Commands:")[2].partition("Example")[0].split())
    for name, command in GROUPS[path].commands.items():
        first = " ".join(command.help.split()).split(". ")[0].removesuffix(".")
        assert f"{name} {first}" in listed
    assert "..." not in listed
    epilog = GROUPS[path].epilog.partition("Exit codes:")[0]
    assert re.match(r"\x08\nExamples?:\n", epilog), "no example"
    for example in epilog.strip().splitlines()[2:]:
        program, *arguments = shlex.split(example)
        assert program == "fhir-anchor"
        if arguments[0] == "--home":
            del arguments[:2]
        called = next((leaf for leaf in LEAVES if tuple(arguments[: len(leaf)]) == leaf), path)
        assert called[: len(path)] == path
        _parse(COMMANDS[called], arguments[len(called) :])


def _parse(command, arguments):
    """Options exist, nothing needed is missing; files named need not be there."""
    context = click.Context(command, resilient_parsing=True)
    rest = [*arguments]
    command.parse_args(context, rest)
    _, left, _ = command.make_parser(context).parse_args(list(arguments))
    assert left == []
    missing = [p.name for p in command.params if p.required and context.params.get(p.name) in (None, ()) and not _is_path(p)]
    assert missing == []


def _is_path(parameter):
    return isinstance(parameter.type, click.Path)


@_named(LEAVES)
def test_a_command_with_a_result_has_it_as_json(path):
    has_json = any("--json" in p.opts for p in LEAVES[path].params)
    assert has_json != (" ".join(path) in _NO_JSON)


def test_the_list_of_commands_needs_no_import_and_names_them_all():
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    assert {path[0] for path in COMMANDS} <= set(shown.output.split())


def test_version():
    assert CliRunner().invoke(main, ["--version"]).output.split()[-1] == version("fhir-anchor")
