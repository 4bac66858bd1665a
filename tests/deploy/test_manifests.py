"""What deploy/ names is there: settings, paths, verbs, metrics. Images are not built here, so this is what holds it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.settings import CONFIG, PREFIX, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MADE_FROM = "build"  # service.build.dockerfile


def _yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = _yaml("compose.yaml")["services"]
    return found


@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile", "README.md"])
def test_every_setting_named_exists(name: str) -> None:
    named = set(re.findall(rf"{PREFIX}([A-Z_]+[A-Z])", (DEPLOY / name).read_text(encoding="utf-8")))
    known = {field.upper() for field in Settings.model_fields} | {CONFIG.removeprefix(PREFIX)}
    assert named <= known, f"{name} sets what no program reads"
    assert named


def test_the_default_settings_of_compose_are_valid(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services["worker"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)))
    settings = Settings.load()
    assert settings.bootstrap_servers == "kafka:9092"
    assert settings.registry_url.startswith("http://registry:")


def test_every_service_and_volume_that_compose_refers_to_exists(services: dict[str, Any]) -> None:
    volumes = _yaml("compose.yaml")["volumes"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= services.keys(), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in volumes, (
                f"{name}: {source}"
            )


def test_every_path_that_an_image_is_made_of_exists(services: dict[str, Any]) -> None:
    build = services["topics"][MADE_FROM]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    locks = re.findall(r"LOCK=(\S+)", dockerfile)
    sources = re.findall(r"^COPY (?!--from)([\w./]+) ", dockerfile, flags=re.MULTILINE)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    for path in [*locks, *sources]:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in allowed, f"{path} does not reach the builder"


def test_the_image_runs_without_root_and_reports_its_health() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    last_stage = dockerfile.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\S+)", last_stage, flags=re.MULTILINE)
    assert user is not None
    assert user[1] not in ("0", "root")
    assert "HEALTHCHECK" in last_stage


def test_the_image_goes_without_torch_and_agrees_with_the_main_lock_on_every_version() -> None:
    image, whole = (_pins(path / "requirements.lock") for path in (DEPLOY, ROOT))
    assert image - whole == set(), "run `make lock`"
    assert not [pin for pin in image if pin.startswith(("torch", "nvidia", "triton"))]


def _pins(lock: Path) -> set[str]:
    lines = lock.read_text(encoding="utf-8").splitlines()
    return {re.split(r"[ ;\\]", line)[0] for line in lines if re.match(r"[a-z0-9]", line)}


def test_every_scraped_service_and_every_rule_file_exists(services: dict[str, Any]) -> None:
    prometheus = _yaml("prometheus.yml")
    targets = [t for job in prometheus["scrape_configs"] for c in job["static_configs"] for t in c["targets"]]
    assert {target.split(":")[0] for target in targets} <= services.keys()
    assert {"worker", "archive", "outcomes", "learn"} <= {target.split(":")[0] for target in targets}
    agents = {target.split(":")[1] for target in targets if not target.startswith("worker")}
    assert agents == {services["archive"]["environment"]["INTENTFLOW_AGENT_METRICS_PORT"]}
    assert all((DEPLOY / name).is_file() for name in prometheus["rule_files"])


def test_every_metric_that_an_alert_asks_for_is_one_of_the_worker_the_agents_or_of_drift() -> None:
    names = (
        "streams/metrics.py",
        "streams/challenger.py",
        "streams/agent_metrics.py",
        "models/drift/record.py",
    )
    files = (ROOT / name for name in names)
    exported = {name for file in files for name in re.findall(r'"(intentflow_\w+)"', file.read_text("utf-8"))}
    exported |= {f"{name}_bucket" for name in exported}
    rules = [rule for group in _yaml("alerts.yml")["groups"] for rule in group["rules"]]
    for rule in rules:
        assert set(re.findall(r"intentflow_\w+", rule["expr"])) <= exported, rule["alert"]
        assert {"summary", "mend"} <= rule["annotations"].keys(), rule["alert"]
    assert rules


@pytest.mark.parametrize("service", ["topics", "worker", "archive", "outcomes", "learn"])
def test_every_verb_that_compose_runs_is_one_of_the_command_line(
    services: dict[str, Any], service: str
) -> None:
    command = [
        sys.executable,
        "-c",
        "from streams.cli import main; main()",
        *services[service]["command"],
        "--help",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
