"""Settings: where they come from, and what is said about bad ones."""

import os
from pathlib import Path

import pytest

from schemas.settings import Settings, SettingsError

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("INTENTFLOW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "intentflow.yaml"
    monkeypatch.setenv("INTENTFLOW_CONFIG", str(path))
    return path


def problem() -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    return str(refused.value)


def test_arguments_win_over_the_environment_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("partitions: 2\nbatch_records: 20\nhot_rows: 200\n")
    monkeypatch.setenv("INTENTFLOW_BATCH_RECORDS", "30")
    monkeypatch.setenv("INTENTFLOW_HOT_ROWS", "300")
    settings = Settings.load(hot_rows=400)
    assert (settings.partitions, settings.batch_records, settings.hot_rows) == (2, 30, 400)


def test_sizes_and_times_are_read_as_people_write_them(file: Path) -> None:
    file.write_text(
        "block_cache_bytes: 32MiB\nstart_from: 2026-03-01T00:00:00Z\ncoalesce_predictions: true\n"
    )
    settings = Settings.load()
    assert settings.block_cache_bytes == 32 * 1024 * 1024
    assert settings.start_from == "2026-03-01T00:00:00Z"
    assert settings.coalesce_predictions is True


def test_an_empty_file_and_an_empty_variable_change_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("# nothing yet\n")
    monkeypatch.setenv("INTENTFLOW_PARTITIONS", "")
    assert Settings.load() == Settings()


def test_each_bad_setting_is_named_with_value_wish_and_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTFLOW_PARTITIONS", "four")
    monkeypatch.setenv("INTENTFLOW_GUARANTEE", "at_most_once")
    monkeypatch.setenv("INTENTFLOW_START_FROM", "2026-03-01T00:00:00")
    lines = problem().splitlines()
    assert len(lines) == 4
    assert "INTENTFLOW_PARTITIONS is 'four'" in lines[1]
    assert "Partitions of every topic keyed by shopper" in lines[1]
    assert "Set INTENTFLOW_PARTITIONS, or `partitions:` in the file of INTENTFLOW_CONFIG" in lines[1]
    assert "INTENTFLOW_GUARANTEE is 'at_most_once'" in lines[2]
    assert "'exactly_once' or 'at_least_once'" in lines[2]
    assert "needs a zone" in lines[3]


def test_a_misspelt_key_in_the_file_is_an_error(file: Path) -> None:
    file.write_text("partitons: 8\n")
    assert "unknown setting partitons; known are app_id, topic_prefix" in problem()


@pytest.mark.parametrize(
    ("text", "said"), [("- partitions", "holds a list"), ("a: [", "is not YAML"), (None, "No such file")]
)
def test_a_file_that_cannot_be_used_is_named(file: Path, text: str | None, said: str) -> None:
    if text is not None:
        file.write_text(text)
    assert said in problem()
    assert str(file) in problem()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "u"},
            "needs INTENTFLOW_SASL_USERNAME and INTENTFLOW_SASL_PASS",
        ),
        ({"SSL_CERT_FILE": __file__}, "set together"),
        (
            {"SSL_CA_FILE": "/nowhere/ca.pem"},
            "INTENTFLOW_SSL_CA_FILE is '/nowhere/ca.pem': there is no such file",
        ),
        ({"MIN_INSYNC_REPLICAS": "2"}, "above replication_factor 1"),
        ({"RETENTION_DAYS": "0.00001"}, "shorter than checkpoint_interval_s"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"INTENTFLOW_{name}", value)
    assert said in problem()


def test_passwords_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENTFLOW_SASL_PASSWORD", "hush")
    monkeypatch.setenv("INTENTFLOW_REGISTRY_PASSWORD", "hush")
    settings = Settings.load()
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()
    monkeypatch.setenv("INTENTFLOW_SECURITY_PROTOCOL", "SASL_SSL")
    assert "hush" not in problem()
    with pytest.raises(ValueError, match="SASL") as raw:
        Settings()
    assert "hush" not in str(raw.value)


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().partitions = 8  # type: ignore[misc]


def test_every_setting_is_explained() -> None:
    short = [name for name, field in Settings.model_fields.items() if len(field.description or "") < 10]
    assert short == []
    table = Settings.table()
    assert table.count("\n") == len(Settings.model_fields) + 2
    assert "| `INTENTFLOW_PARTITIONS` | `4` |" in table
    assert "| `INTENTFLOW_SASL_PASSWORD` |  |" in table


def test_the_document_holds_the_table() -> None:
    assert Settings.table() in DOCUMENT.read_text(encoding="utf-8"), "mend: make docs"
