"""`intentflow models`: which releases there are, which one workers use, and which one challenges it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Annotated, Any

import typer

from models import promotion, release
from models.replay.evidence import permit
from models.shrink import prune as pruning
from schemas.settings import Settings
from streams.cli import verb
from streams.cli.contents import moment
from streams.cli.judging import compare, connected, watching

app = verb(no_args_is_help=True)


@app.callback()
def about() -> None:
    """List releases, choose the one that workers use, run a challenger beside it, and go back to the one before.

    Running workers swap to a promoted release between two batches; they need no restart. docs/releases.md has the rules
    by which a release is promoted and taken back.

    \b
    Example:
      intentflow models list
      intentflow models challenge intent-20260301T120000-1a2b3c4d
      intentflow models compare
      intentflow models promote intent-20260301T120000-1a2b3c4d
      intentflow models rollback
    """


app.command("compare")(compare)
app.command("watch")(watching)


@app.command("list")
def list_() -> None:
    """List the releases and mark the one in use.

    They are read from INTENTFLOW_RELEASES_URI, oldest first.
    """
    settings = connected()
    standing = promotion.standing(settings)
    now = standing.champion
    listed = promotion.listing(settings, now)
    for one in listed:
        typer.echo(f"{_role(one, standing):11}{one.id}  {_about(one)}")
    if not listed:
        typer.echo(f"no releases under {settings.releases_uri}; train one with `intentflow replay run`")
    if now is not None:
        typer.echo(
            f"in use: {now.release} since {moment(now.promoted_at)} UTC ({now.note}), "
            f"before it {now.previous or 'none'}"
        )
    else:
        typer.echo(f"model {settings.model_name}: no release promoted yet")
    if standing.challenger is not None:
        since = moment(standing.challenger.promoted_at)
        typer.echo(f"in shadow: {standing.challenger.release} since {since} UTC ({standing.challenger.note})")
    for gone in standing.withdrawn.values():
        typer.echo(f"withdrawn: {gone.release} on {moment(gone.promoted_at)} UTC ({gone.note})")


@app.command()
def promote(
    which: Annotated[
        str, typer.Argument(metavar="RELEASE", help="Release id from the list, or a folder or URL.")
    ],
    note: Annotated[str, typer.Option(help="More to keep in the record.")] = "",
    force: Annotated[
        str | None,
        typer.Option(metavar="WHY", help="Promote without evidence; why is kept in the record."),
    ] = None,
    topics: Annotated[
        bool,
        typer.Option("--topics", help="Look for a shadow run in what Kafka retains, not in the archive."),
    ] = False,
) -> None:
    """Make workers use a release, if it is better than the one they use.

    By the rule in docs/releases.md: on matured rows its log loss is lower and its calibration in order, in shadow or, where
    it was not in shadow for long enough, offline over the archive's time that neither learnt from. A first release needs
    no evidence. It is checked, too, that it can be served. Running workers swap to it between two batches.
    """
    settings = connected()
    chosen = _chosen(settings, which)
    standing = promotion.standing(settings, chosen.card.model)
    if standing.champion is not None and standing.champion.release == chosen.id:
        typer.echo(f"{chosen.id} is in use already")
        return
    why = f"forced: {force}" if force else permit(settings, chosen, standing, topics=topics)
    done = promotion.promote(settings, chosen, f"{note}; {why}" if note else why)
    typer.echo(f"promoted {done.release}, before it {done.previous or 'none'}")


@app.command()
def rollback(note: Annotated[str, typer.Option(help="Why; kept in the record.")] = "rolled back") -> None:
    """Go back to the release before."""
    done = promotion.rollback(connected(), note=note)
    typer.echo(f"rolled back to {done.release} from {done.previous}")


@app.command()
def prune(
    which: Annotated[
        str, typer.Argument(metavar="RELEASE", help="Release id from the list, or a folder or URL.")
    ],
    sizes: Annotated[str, typer.Option(help="Units to keep in each layer, from below: 32,32.")],
) -> None:
    """Make a smaller release: in each layer the units stay that most is made of.

    What it loses it can learn again: intentflow replay train --warm RELEASE with a recipe of these sizes. It is a new
    release, to be compared and promoted like any other.
    """
    settings = Settings.load()  # needs no broker
    chosen = _chosen(settings, which)
    if not re.fullmatch(r"\d+(,\d+)*", sizes):
        raise release.ReleaseProblem(f"--sizes {sizes!r}: want a number of units per layer, such as 32,32")
    try:
        weights, architecture = pruning.prune(
            chosen.weights(), chosen.card.architecture, tuple(map(int, sizes.split(",")))
        )
    except ValueError as problem:
        raise release.ReleaseProblem(f"{chosen.id}: {problem}") from None
    card = replace(chosen.card, architecture=architecture, metrics={"pruned_from": chosen.id})
    made = release.write(settings.releases_uri, card, weights)
    typer.echo(
        f"release {made.id} in {made.uri}; evaluate it with `intentflow replay evaluate --release {made.id}`"
    )


@app.command()
def challenge(
    which: Annotated[
        str | None, typer.Argument(metavar="[RELEASE]", help="Release id from the list, or a folder or URL.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Nobody runs in shadow any longer.")] = False,
    note: Annotated[str, typer.Option(help="Why; kept in the record.")] = "challenger",
) -> None:
    """Run a release in shadow: workers score with it, too, and publish that on shadow-predictions; nothing acts on it.

    There is one challenger at a time; another one takes its place. It begins with the next batch and costs a worker
    about a second model's time.

    \b
    Example:
      intentflow models challenge intent-20260301T120000-1a2b3c4d
      intentflow models challenge --stop
    """
    if (which is None) is not stop:
        raise typer.BadParameter("name a release, or give --stop")
    settings = connected()
    if which is None:
        ended = promotion.stop_challenge(settings)
        typer.echo("nobody was in shadow" if ended is None else f"no longer in shadow: {ended.release}")
        return
    begun = promotion.challenge(settings, _chosen(settings, which), note)
    typer.echo(f"in shadow: {begun.release}, beside {begun.previous}")


def _chosen(settings: Settings, which: str) -> release.Release:
    return release.read(which) if "/" in which else promotion.find(settings, which)


def _role(one: promotion.Listed, standing: promotion.Standing) -> str:
    if one.promoted:
        return "in use"
    if standing.challenger is not None and standing.challenger.release == one.id:
        return "in shadow"
    return "withdrawn" if one.id in standing.withdrawn else ""


def _about(listed: promotion.Listed) -> str:
    if listed.release is None:
        return f"cannot be served: {listed.problem}"
    card = listed.release.card
    return f"data {card.data_from[:10]} to {card.data_until[:10]}  {_figures(card.metrics)}"


def _figures(metrics: Any, path: str = "") -> str:
    """The first figures of a metrics tree, by their path in it."""
    return ", ".join(f"{name} {figure:.3f}" for name, figure in list(_flat(metrics, path))[:4])


def _flat(metrics: Any, path: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in metrics.items():
        if isinstance(value, dict):
            found += _flat(value, posixpath.join(path, str(name)))
        elif isinstance(value, float):
            found.append((posixpath.join(path, str(name)), value))
    return found
