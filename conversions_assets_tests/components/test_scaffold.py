"""`dg scaffold defs`: what it writes loads, explains every key and passes its own test; odd names write nothing."""

import re
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest
import yaml

from conversions_assets.components import CrmTables, CustomConversion
from conversions_assets.components.custom_conversion import CustomConversion as Component
from conversions_assets.components.scaffolders import CrmTablesScaffolder, CustomConversionScaffolder
from conversions_assets.testing.casefile import read_case_file
from conversions_assets.testing.run import read_conversion, run_case
from conversions_assets_tests.deployment import make_deployment

ODD = [
    "Signup",
    "1signup",
    "sign up",
    "sign-up",
    "größe",
    "\uff53ignup",
    "signup\n",
    "a" * 52,
    "signup_drift",
    "{{ name }}",
    "{name}",
    "$name",
    'a"; DROP TABLE x; --',
    "a'; DROP TABLE x; --",
    "a: b",
    "`a`",
    "signup.sql",
    "..",
]


def scaffold(folder: Path, root: Path, scaffolder: type[dg.Scaffolder[Any]] = CustomConversionScaffolder) -> Path:
    """What dg does: it makes the folder, then asks the scaffolder."""
    folder.mkdir(parents=True, exist_ok=True)
    scaffolder().scaffold(
        dg.ScaffoldRequest(
            type_name="conversions_assets.components.CustomConversion",
            target_path=folder,
            scaffold_format="yaml",
            project_root=root,
            params=None,
        )
    )
    return folder


# Words of SQL and of YAML are names like any other.
@pytest.mark.parametrize("name", ["signup", "select", "group", "null", "no", "a" * 51])
def test_a_scaffolded_folder_loads_and_its_test_passes(tmp_path: Path, name: str) -> None:
    deployment = make_deployment(tmp_path)
    folder = scaffold(deployment.defs / "conversions" / name, tmp_path)
    assert {path.name for path in folder.iterdir()} == {"defs.yaml", f"{name}.sql", f"{name}.test.yaml"}
    definitions = deployment.load()
    dg.Definitions.validate_loadable(definitions)
    assert dg.AssetKey(["adjusted", name]) in definitions.resolve_asset_graph().get_all_asset_keys()
    file = read_case_file(folder / f"{name}.test.yaml")
    assert len(file.cases) == 3
    for case in file.cases:
        run_case(file, case, read_conversion(folder), {})


def test_the_yaml_shows_every_key_and_each_can_be_used(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    path = scaffold(deployment.defs / "conversions" / "signup", tmp_path) / "defs.yaml"
    text = path.read_text(encoding="utf-8")
    shown = set(re.findall(r"^  (?:# )?([a-z_]+): ", text, re.MULTILINE))
    assert shown == set(Component.model_fields)
    # One of the two freshness policies, and all other optional keys.
    once = text.replace('  # freshness: {deadline_cron: "0 9 * * *", lower_bound_hours: 12}\n', "")
    path.write_text(re.sub(r"^  # (?=[a-z_]+: )", "  ", once, flags=re.MULTILINE), encoding="utf-8")
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))["attributes"]) == set(Component.model_fields)
    scaffold(deployment.defs / "conversions" / "deal_closed", tmp_path)  # the target of the example
    dg.Definitions.validate_loadable(deployment.load())


@pytest.mark.parametrize("name", ODD)
def test_r32_an_odd_name_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(click.ClickException) as caught:
        scaffold(tmp_path / "defs" / "conversions" / name, tmp_path)
    assert "R32" in caught.value.message
    assert repr(name.strip())[1:-1] in caught.value.message or name in caught.value.message
    assert list((tmp_path / "defs" / "conversions").iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "1st", "a;b", "größe", "adjusted", "conversions", "a: b", "a`b"])
def test_an_odd_dataset_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(click.ClickException, match=re.escape(f"'{name}'")):
        scaffold(tmp_path / "defs" / "crm" / name, tmp_path, CrmTablesScaffolder)
    assert list((tmp_path / "defs" / "crm").iterdir()) == []


def test_a_scaffolded_dataset_loads(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path)
    scaffold(deployment.defs / "crm" / "leads", tmp_path, CrmTablesScaffolder)
    assert dg.AssetKey(["leads", "orders"]) in deployment.load().resolve_asset_graph().get_all_asset_keys()


@pytest.mark.parametrize("outside", ["defs/../../signup", "/elsewhere/signup", "defs/x/../signup"])
@pytest.mark.parametrize("scaffolder", [CustomConversionScaffolder, CrmTablesScaffolder])
def test_nothing_is_written_outside_of_the_project(
    tmp_path: Path, outside: str, scaffolder: type[dg.Scaffolder[Any]]
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    folder = tmp_path / outside[1:] if outside.startswith("/") else root / outside
    (root / "defs" / "x").mkdir(parents=True)
    with pytest.raises(click.ClickException, match="does not lie in the project's defs folder"):
        scaffold(folder, root, scaffolder)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_both_components_have_a_scaffolder() -> None:
    from dagster.components.scaffold.scaffold import get_scaffolder

    assert isinstance(get_scaffolder(CustomConversion), CustomConversionScaffolder)
    assert isinstance(get_scaffolder(CrmTables), CrmTablesScaffolder)
