"""`intentflow policy`: checks and publishes what marketing allows, and stops everything at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from models import promotion
from models.survival import TASKS
from schemas.settings import Settings
from streams.cli import policies, verb
from streams.cli.contents import moment
from streams.cli.evaluate import evaluate
from streams.cli.log import Log
from streams.cli.policies import enabled, published, switched
from streams.cli.policies import publish as write
from streams.policy import Policy
from streams.policy.differences import differences
from streams.policy_document import PolicyProblem, json_schema, load, parse

app = verb(no_args_is_help=True)
app.command()(evaluate)
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Policy in YAML; deploy/policy.yaml is one to start from.")
]
CampaignArgument = Annotated[str | None, typer.Argument(metavar="[CAMPAIGN]", help="One campaign; else all.")]


@app.callback()
def about() -> None:
    """Check and publish what marketing allows, and stop everything at once.

    A policy names campaigns with their triggers and values, consent, hold-out and frequency caps. Workers follow what
    is published from their next batch on, without a restart.

    \b
    Example:
      intentflow policy check deploy/policy.yaml
      intentflow policy diff deploy/policy.yaml
      intentflow policy publish deploy/policy.yaml
      intentflow policy evaluate new.yaml --from 2017-10-01 --to 2018-01-01
      intentflow policy rollback
      intentflow policy kill winback_coupon
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
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A file, or a published version.")],
    after: Annotated[
        str | None,
        typer.Argument(metavar="B", help="The same; without it A is held against what is in force."),
    ] = None,
) -> None:
    """Show what changes from policy A to policy B: campaign by campaign, field by field.

    Exit code 0 whether they differ or not.

    \b
    Example:
      intentflow policy diff deploy/policy.yaml              what publishing it would change
      intentflow policy diff 3f1c9a0b2d44 deploy/policy.yaml
    """
    settings = Settings.load()
    old, new = (
        (_named(settings, None), _named(settings, before))
        if after is None
        else (_named(settings, before), _named(settings, after))
    )
    found = differences(old, new)
    typer.echo(f"from version {old.version} to version {new.version}: {len(found)} changes")
    for line in found:
        typer.echo(f"  {line}")


@app.command()
def history() -> None:
    """List what was published, newest first; the first is in force."""
    settings = Settings.load()
    with Log(settings) as log:
        rows = policies.history(log, settings)
    if not rows:
        raise _none(settings)
    for at, row in enumerate(rows):
        summary = _summary(parse(row["document"], f"policy {row['version']}"), row["version"])
        typer.echo(f"{moment(row['published_at'])} UTC  {summary}{'  (in force)' if at == 0 else ''}")


@app.command()
def rollback(
    version: Annotated[
        str | None,
        typer.Argument(metavar="VERSION", help="Which; without it the one that was in force before."),
    ] = None,
) -> None:
    """Publish an earlier version again, as it was written, comments included.

    It is checked against the release in use, as `publish` does.
    """
    settings = Settings.load()
    with Log(settings) as log:
        rows = policies.history(log, settings)
        used = promotion.promoted(settings)
    if not rows:
        raise _none(settings)
    row = next(
        (one for one in rows if one["version"] == version or (version is None and _differs(one, rows[0]))),
        None,
    )
    if row is None:
        known = ", ".join(dict.fromkeys(one["version"] for one in rows))
        wanted = "an earlier version" if version is None else f"version {version!r}"
        raise PolicyProblem(
            f"{wanted} of {settings.policy_name!r} was never published; published are {known}"
        )
    tasks = TASKS if used is None else used.open().card.tasks
    parse(row["document"], f"policy {row['version']}", tasks)
    policy = write(settings, row["document"])
    typer.echo(
        f"published {policy.name} {_summary(policy)}, as of {moment(row['published_at'])} UTC; "
        f"before it was version {rows[0]['version']}"
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of policies.

    An editor completes and checks a policy that begins with "# yaml-language-server: $schema=policy.schema.json"
    beside it. deploy/policy.schema.json is this.
    """
    typer.echo(json_schema(), nl=False)


@app.command()
def kill(campaign: CampaignArgument = None) -> None:
    """Stop everything, or one campaign.

    Publishes the policy in force with kill_switch: true, or the campaign's enabled: false. Decisions are still written down.
    """
    _switch(True, campaign)


@app.command()
def unkill(campaign: CampaignArgument = None) -> None:
    """Let things go on after `kill`.

    Publishes the policy in force with kill_switch: false, or the campaign's enabled: true.
    """
    _switch(False, campaign)


def _switch(killed: bool, campaign: str | None) -> None:
    settings = Settings.load()
    document = _row(settings)["document"]
    document = switched(document, killed) if campaign is None else enabled(document, campaign, not killed)
    policy, what = write(settings, document), "nothing" if campaign is None else f"nothing of {campaign}"
    effect = f"{what} is sent from the workers' next batch on"
    if not killed:
        effect = "interventions go out again" if campaign is None else f"{campaign} goes out again"
    typer.echo(f"published {policy.name} {_summary(policy)}: {effect}")


def _row(settings: Settings) -> dict[str, Any]:
    with Log(settings) as log:
        row = published(log, settings)
    if row is None:
        raise _none(settings)
    return row


def _named(settings: Settings, name: str | None) -> Policy:
    """The policy of a file or of a published version; None: the one in force."""
    if name is None:
        return parse(_row(settings)["document"], "policy in force")
    if Path(name).exists():
        return load(name)
    with Log(settings) as log:
        row = published(log, settings, name)
    if row is None:
        raise PolicyProblem(
            f"{name!r} is no file and no published version; `intentflow policy history` lists those that are"
        )
    return parse(row["document"], f"policy {name}")


def _differs(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(row["version"] != other["version"])


def _none(settings: Settings) -> PolicyProblem:
    return PolicyProblem(
        f"no policy {settings.policy_name!r} is published; publish one with `intentflow policy publish FILE`, or "
        "mend INTENTFLOW_POLICY_NAME"
    )


def _summary(policy: Policy, version: str | None = None) -> str:
    on = sum(campaign.enabled for campaign in policy.campaigns)
    killed = ", kill switch on" if policy.kill_switch else ""
    dry = ", dry run" if policy.dry_run else ""
    return (
        f"version {version or policy.version}: {on} of {len(policy.campaigns)} campaigns enabled{killed}{dry}"
    )
