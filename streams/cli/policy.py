"""`intentflow policy`: checks and publishes what marketing allows, and stops everything at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from models import promotion
from models.survival import TASKS
from schemas.settings import Settings
from streams.cli import verb
from streams.cli.contents import moment
from streams.cli.log import Log
from streams.cli.policies import publish as write
from streams.cli.policies import published, switched
from streams.policy import Policy
from streams.policy_document import PolicyProblem, load

app = verb(no_args_is_help=True)
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Policy in YAML; deploy/policy.yaml is one to start from.")
]


@app.callback()
def about() -> None:
    """Check and publish what marketing allows, and stop everything at once.

    A policy names campaigns with their triggers and values, consent, hold-out and frequency caps. Workers follow what
    is published from their next batch on, without a restart.

    \b
    Example:
      intentflow policy check deploy/policy.yaml
      intentflow policy publish deploy/policy.yaml
      intentflow policy kill
    """


@app.command()
def check(file: File) -> None:
    """Check a policy file, without Kafka.

    Every fault is told with its line, field, value and mend; exit code 1 if there is any.
    """
    policy = load(file, TASKS)
    typer.echo(f"{file}: in order, {_summary(policy)}")


@app.command()
def publish(file: File) -> None:
    """Check a policy file and publish it.

    It is checked against the release in use too: a score that this does not have is refused.
    """
    settings = Settings.load()
    load(file, TASKS)
    with Log(settings):
        used = promotion.promoted(settings)
    if used is not None:
        load(file, used.open().card.tasks)
    policy = write(settings, file.read_text(encoding="utf-8"))
    typer.echo(f"published {policy.name} {_summary(policy)}")
    if policy.name != settings.policy_name:
        typer.echo(
            f"mind: workers follow {settings.policy_name!r} (INTENTFLOW_POLICY_NAME), not {policy.name!r}",
            err=True,
        )


@app.command()
def show() -> None:
    """Print the policy in force.

    It is YAML that `publish` takes back, with the comments that it was published with.
    """
    settings = Settings.load()
    row = _row(settings)
    typer.echo(f"# {row['name']} version {row['version']}, published {moment(row['published_at'])} UTC")
    typer.echo(row["document"].rstrip())


@app.command()
def kill() -> None:
    """Stop everything.

    Publishes the policy in force with kill_switch: true. Decisions are still written down.
    """
    _switch(True)


@app.command()
def unkill() -> None:
    """Let things go on after `kill`.

    Publishes the policy in force with kill_switch: false.
    """
    _switch(False)


def _switch(killed: bool) -> None:
    settings = Settings.load()
    policy = write(settings, switched(_row(settings)["document"], killed))
    effect = "nothing is sent from the workers' next batch on" if killed else "interventions go out again"
    typer.echo(f"published {policy.name} {_summary(policy)}: {effect}")


def _row(settings: Settings) -> dict[str, Any]:
    with Log(settings) as log:
        row = published(log, settings)
    if row is None:
        raise PolicyProblem(
            f"no policy {settings.policy_name!r} is published; publish one with `intentflow policy publish FILE`, or "
            "mend INTENTFLOW_POLICY_NAME"
        )
    return row


def _summary(policy: Policy) -> str:
    on = sum(campaign.enabled for campaign in policy.campaigns)
    killed = ", kill switch on" if policy.kill_switch else ""
    return f"version {policy.version}: {on} of {len(policy.campaigns)} campaigns enabled{killed}"
