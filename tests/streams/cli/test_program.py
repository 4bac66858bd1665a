"""The program around the verbs: help, lazy loading, errors."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.settings import SettingsError
from streams import cli
from tests.conftest import NO_BROKER
from tests.streams.cli.conftest import Run

HEAVY = ("numpy", "pyarrow", "pydantic", "confluent_kafka", "torch", "faust")
EMITS = (
    "streams.interventions",
    "streams.decide",
    "streams.app",
    "streams.transaction",
    "streams.turns",
    "streams.passing",
    "streams.shoppers",
)
CALL = "from typer.testing import CliRunner; from streams import cli; CliRunner().invoke(cli.app, ['{}'])"


def _loaded(code: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_names_every_verb_and_a_first_walk() -> None:
    text = CliRunner().invoke(cli.app, ["--help"]).output
    for verb, summary in cli.VERBS.items():
        assert verb in text
        assert summary in text
    assert "intentflow topics create" in text


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb != "replay"])
def test_help_of_a_verb_has_an_example(verb: str) -> None:
    result = CliRunner().invoke(cli.app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"intentflow {verb}" in result.output
    assert "Example" in result.output


def test_every_verb_has_its_file_and_every_file_of_a_verb_is_listed() -> None:
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert set(cli.VERBS) <= files
    apps = {
        name for name in files if "\napp = verb(" in Path(cli.__file__).with_name(f"{name}.py").read_text()
    }
    assert apps - {"__init__"} == set(cli.VERBS)


def test_help_loads_no_verb_and_nothing_heavy() -> None:
    loaded = _loaded(CALL.format("replay', '--help"))
    assert "streams.cli.replay" in loaded
    assert not loaded & set(EMITS)
    assert not {f"streams.cli.{verb}" for verb in cli.VERBS if verb != "replay"} & loaded


def test_a_verb_that_there_is_not_is_told() -> None:
    result = CliRunner().invoke(cli.app, ["tial"])
    assert result.exit_code == 2
    assert "No such command 'tial'" in result.output


def test_an_error_of_ours_is_its_message_and_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTFLOW_PARTITIONS", "many")
    result = run("tail", "decisions", code=1)
    assert result.stderr.startswith("intentflow: ")
    assert "INTENTFLOW_PARTITIONS" in result.stderr
    assert "Traceback" not in result.output


def test_a_fault_of_the_program_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("runpy.run_module", broken)
    assert isinstance(run("replay", code=1).exception, ZeroDivisionError)


def test_replay_gets_its_arguments_untouched(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def note(path: str, **options: object) -> None:
        seen.append(list(sys.argv))

    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr("runpy.run_module", note)
    run("replay", "train", "--from", "2017-01-01", "--help", "-n", "3")
    assert [arguments[1:] for arguments in seen] == [["train", "--from", "2017-01-01", "--help", "-n", "3"]]


def test_no_broker_is_told_with_its_address() -> None:
    from schemas.kafka import BrokerAway
    from schemas.settings import Settings
    from streams.cli.log import Log

    with pytest.raises(BrokerAway, match=f"no Kafka broker answers at {NO_BROKER}"):
        Log(Settings(bootstrap_servers=NO_BROKER), wait_s=0.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tail", "decision"], "is no topic"),
        (["policy", "check", "no such file"], "cannot be read"),
        (["redrive", "--set", "prize=1"], "want FIELD=VALUE with a field of event_id"),
    ],
)
def test_what_is_typed_wrong_is_told_before_kafka_is_asked(run: Run, arguments: list[str], told: str) -> None:
    assert told in run(*arguments, code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["load", "taobo"], "want one of completejourney"),
        (["load", "taobao", "--from", "yesterday"], "want a date or time such as"),
        (["load", "taobao", "--share", "20"], "above 0 and at most 1"),
        (["load", "taobao", "--rate", "0"], "events per second above 0"),
    ],
)
def test_arguments_that_cannot_be_used_are_a_usage_error(run: Run, arguments: list[str], told: str) -> None:
    assert told in run(*arguments, code=2).stderr


def test_errors_are_told_apart_by_where_they_come_from() -> None:
    assert cli._is_worded(SettingsError("x"))
    assert cli._is_worded(FileNotFoundError("x"))
    assert not cli._is_worded(BrokenPipeError())
    assert not cli._is_worded(KeyError("x"))
