"""`intentflow models`: which releases there are and which one workers use."""

from __future__ import annotations

import posixpath
from typing import Annotated, Any

import typer

from models import promotion, release
from schemas.kafka import wait_for_broker
from schemas.settings import Settings
from streams.cli import verb
from streams.cli.contents import moment

app = verb(no_args_is_help=True)


@app.callback()
def about() -> None:
    """List releases, choose the one that workers use, and go back to the one before.

    Running workers swap to a promoted release between two batches; they need no restart.

    \b
    Example:
      intentflow models list
      intentflow models promote intent-20260301T120000-1a2b3c4d --note "better AUC"
      intentflow models rollback
    """


@app.command("list")
def list_() -> None:
    """List the releases and mark the one in use.

    They are read from INTENTFLOW_RELEASES_URI, oldest first.
    """
    settings = _connected()
    now = promotion.promoted(settings)
    listed = promotion.listing(settings, now)
    for one in listed:
        typer.echo(f"{'in use' if one.promoted else '':8}{one.id}  {_about(one)}")
    if not listed:
        typer.echo(f"no releases under {settings.releases_uri}; train one with `intentflow replay run`")
    if now is not None:
        typer.echo(
            f"in use: {now.release} since {moment(now.promoted_at)} UTC ({now.note}), "
            f"before it {now.previous or 'none'}"
        )
    else:
        typer.echo(f"model {settings.model_name}: no release promoted yet")


@app.command()
def promote(
    which: Annotated[
        str, typer.Argument(metavar="RELEASE", help="Release id from the list, or a folder or URL.")
    ],
    note: Annotated[str, typer.Option(help="Why; kept in the record.")] = "promoted",
) -> None:
    """Make workers use a release.

    It is checked first that it can be served. Running workers swap to it between two batches.
    """
    settings = _connected()
    chosen = release.read(which) if "/" in which else promotion.find(settings, which)
    done = promotion.promote(settings, chosen, note)
    typer.echo(f"promoted {done.release}, before it {done.previous or 'none'}")


@app.command()
def rollback(note: Annotated[str, typer.Option(help="Why; kept in the record.")] = "rolled back") -> None:
    """Go back to the release before."""
    done = promotion.rollback(_connected(), note=note)
    typer.echo(f"rolled back to {done.release} from {done.previous}")


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


def _connected() -> Settings:
    settings = Settings.load()
    wait_for_broker(settings, 10.0, say=lambda text: typer.echo(text, err=True))
    return settings
