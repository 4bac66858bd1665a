"""The command `intentflow`: one file per verb, imported only when its verb is called.

So `intentflow --help` answers at once, and `intentflow replay` never loads what emits interventions. Errors that our
packages raise are worded for whoever reads them: they end the program with their message and exit code 1. Any other
exception is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

VERBS = {
    "broker": "Start the embedded Kafka broker, for trying things out.",
    "topics": "Create, check and list the topics.",
    "load": "Send a data set of real shoppers into behavior-events.",
    "worker": "Score events and decide: the live path.",
    "archive": "Write events, predictions and decisions to Parquet.",
    "outcomes": "Join decisions with what shoppers then did.",
    "learn": "Learn from outcomes which arm of a campaign earns most when.",
    "effect": "Tell what campaigns brought, against who was held out.",
    "replay": "Build training sets, train, evaluate, release, backfill.",
    "models": "List releases, promote, challenge, compare, watch, go back.",
    "policy": "Check and publish what marketing allows; stop everything at once.",
    "tail": "Show the records of a topic, decoded.",
    "why": "Explain the last decisions about a shopper.",
    "status": "Show lag, throughput, and the release and policy in use.",
    "redrive": "Put records from dead-letters back into their topic, mended.",
}
OURS = ("schemas", "models", "streams")
INTERRUPTED = 130  # as shells say it: 128 + SIGINT


class Verbs(TyperGroup):
    """The verbs by name: their summaries for --help, their modules only when called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return TyperCommand(cmd_name, help=VERBS[cmd_name]) if cmd_name in VERBS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        module = importlib.import_module(f"streams.cli.{name}")
        return name, typer.main.get_command(module.app), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as problem:
            if not _is_worded(problem):
                raise
            typer.echo(f"intentflow: {problem}", err=True)
            raise typer.Exit(1) from None


def verb(**options: Any) -> typer.Typer:
    """The Typer app of a verb's file. Help is plain text: quick, and what is copied from it works."""
    return typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, **options)


app = verb(name="intentflow", cls=Verbs, no_args_is_help=True)


@app.callback()
def about() -> None:
    """Predicts what a shop's customers do next, from their live events in Kafka, and steps in when it pays.

    Every verb explains itself: intentflow VERB --help. Settings are environment variables INTENTFLOW_…, or a YAML
    file that INTENTFLOW_CONFIG names; docs/settings.md has them all. The first is INTENTFLOW_BOOTSTRAP_SERVERS, the
    address of Kafka.

    \b
    A first walk, in two terminals:
      intentflow broker
      intentflow topics create
      intentflow load completejourney --share 0.1
      intentflow tail behavior-events -n 5
    """


def main() -> None:
    """Entry point of the command."""
    app()


def _is_worded(problem: Exception) -> bool:
    """Whether the message of the exception is meant for the user: ours, Kafka's, or the system's about a file."""
    return type(problem).__module__.partition(".")[0] in (*OURS, "cimpl") or (
        isinstance(problem, OSError) and not isinstance(problem, BrokenPipeError)
    )
