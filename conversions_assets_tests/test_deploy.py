"""What deploy/ holds is what the rest of the project says: pools, versions, no port and no secret for others."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
ALIKE = ("concurrency.pools", "run_retries", "run_monitoring", "telemetry", "nux", "python_logs")
SECRET = re.compile("password|token|secret|key", re.IGNORECASE)


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _at(content: Any, place: str) -> Any:
    for key in place.split("."):
        content = content[key]
    return content


def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.\[\]-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("place", ALIKE)
def test_the_self_hosted_instance_has_the_settings_of_every_instance(place: str) -> None:
    assert _at(_yaml(DEPLOY / "dagster.yaml"), place) == _at(_yaml(ROOT / "dagster.yaml"), place)


def test_dagster_takes_the_settings_of_the_self_hosted_instance(tmp_path: Path) -> None:
    text = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    read, _ = dagster_instance_config(str(tmp_path))
    assert _at(read, "storage.postgres.postgres_db.password") == {"env": "DAGSTER_POSTGRES_PASSWORD"}


def test_dagster_plus_has_the_same_pools_and_retries() -> None:
    settings, ours = _yaml(DEPLOY / "dagster_cloud_settings.yaml"), _yaml(DEPLOY / "dagster.yaml")
    assert settings["concurrency"] == ours["concurrency"]
    for group in ("run_retries", "run_monitoring"):
        assert settings[group].items() <= ours[group].items()


def test_the_locations_of_dagster_plus_are_the_workspace_s() -> None:
    [ours] = _yaml(ROOT / "workspace.yaml")["load_from"]
    for path in (ROOT / "dagster_cloud.yaml", DEPLOY / "dagster_cloud_hybrid.yaml"):
        [location] = _yaml(path)["locations"]
        assert location["location_name"] == ours["python_module"]["location_name"]
        assert location["code_source"]["module_name"] == ours["python_module"]["module_name"]
        assert (path.parent / location["build"]["directory"]).resolve() == ROOT


def test_only_the_webserver_is_reached_and_only_from_the_machine() -> None:
    services = _yaml(DEPLOY / "compose.yaml")["services"]
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(ports) == {"webserver"}
    assert all(port.startswith("127.0.0.1:") for port in ports["webserver"])


def test_every_container_is_watched_started_again_and_without_rights() -> None:
    services = _yaml(DEPLOY / "compose.yaml")["services"]
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
            assert not [volume for volume in service["volumes"] if "docker.sock" in volume], name
    held = [name for name, service in services.items() if "env_file" in service]
    assert held == ["code"], "the tokens of the CRMs are for the runs alone"
    assert re.search(r"^USER (?!root)\w+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_no_file_holds_a_secret_or_names_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/work/|/root/|/home/\w|/tmp/", text)
    for key, value in re.findall(r"^\s*-?\s*([\w-]+)[:=] *(\S.*)$", text, re.MULTILINE):
        if SECRET.search(key) and key.isupper():
            assert value.startswith("${"), key
        elif SECRET.search(key) and path.suffix == ".yaml":
            assert not value, key


def test_the_image_has_the_tested_versions_and_writes_events_in_batches() -> None:
    tested, deployed, wanted = (
        _pins(ROOT / "requirements.lock"),
        _pins(DEPLOY / "requirements.lock"),
        _pins(DEPLOY / "requirements.in"),
    )
    assert {name: deployed[name] for name in tested.keys() & deployed.keys()}.items() <= tested.items()
    assert wanted.items() <= deployed.items()
    assert "duckdb" in deployed
    assert "pytest" not in deployed
    assert "://" not in (DEPLOY / "requirements.lock").read_text(encoding="utf-8")
    assert "DAGSTER_EVENT_BATCH_SIZE=1000" in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def test_what_the_dockerfile_copies_is_there_and_reaches_it() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for name in (name for names in copied for name in names.split()):
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name
