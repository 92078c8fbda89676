"""The tree of commands, and the one place where a failure becomes a line and an exit code."""

from __future__ import annotations

import importlib.util

import typer
from pydantic import ValidationError
from rich.markup import escape

from muquery.version import __version__
from service.access.policy import UnsafeBind
from service.cli import (
    asking,
    browsing,
    imports,
    library,
    operation,
    quality,
    serving,
    status,
    tagging,
    vocabularies,
)
from service.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, CliError, error_console
from service.errors import MuqueryError

HELP = "Find music, and the seconds in it, by describing it. Settings: MUQUERY_* variables."


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and return the exit code; never a traceback for a known failure."""
    try:
        result = build_program()(args=arguments, prog_name="muquery", standalone_mode=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_FAILED
    except CliError as error:
        return _fail(str(error), error.exit_code)
    except (MuqueryError, UnsafeBind) as error:
        return _fail(str(error))
    except ValidationError as error:
        return _fail(_settings_problem(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0


def build_program() -> typer.Typer:
    """The command with all its subcommands; without torch those of training say what to do."""
    program = typer.Typer(
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    program.callback()(_version_option)
    for commands in (
        serving, status, library, browsing, imports, asking, tagging, vocabularies, operation,
    ):  # fmt: skip
        commands.register(program)
    _mount_training(program)
    return program


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"muquery {__version__}")
        raise typer.Exit


def _version_option(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Find music, and the seconds in it, by describing it. Settings: MUQUERY_* variables."""


def _mount_training(program: typer.Typer) -> None:
    from models.training.evaluation.cli import evaluate_app

    # A copy, because the judging of a library is this world's and the rest is the models'.
    evaluate = typer.Typer(help=evaluate_app.info.help, no_args_is_help=True, rich_markup_mode=None)
    quality.register(evaluate)
    program.add_typer(evaluate, name="evaluate")
    if importlib.util.find_spec("torch") is None:
        anything = {"allow_extra_args": True, "ignore_unknown_options": True}
        program.command("train", context_settings=anything)(_without_training)
        for command in evaluate_app.registered_commands:
            evaluate.command(command.name, context_settings=anything)(_without_training)
        return
    from models.training.cli import train_app

    program.add_typer(train_app, name="train")
    evaluate.registered_commands += evaluate_app.registered_commands


def _without_training() -> None:
    """Needs the training extra: pip install 'muquery[train]'."""
    raise CliError("training needs torch, which is not installed: pip install 'muquery[train]'")


def _settings_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    name = "MUQUERY_" + "_".join(str(part) for part in first["loc"]).upper()
    return f"the setting {name} is not valid: {first['msg']}"


def _fail(message: str, exit_code: int = EXIT_FAILED) -> int:
    error_console().print(f"[red]muquery:[/red] {escape(message)}", highlight=False, soft_wrap=True)
    return exit_code
