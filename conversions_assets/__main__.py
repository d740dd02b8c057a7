"""`python -m conversions_assets lint-sql | schemas | validate <name> | dry-run | explain <name> <id> | react`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from conversions_assets.contract.conversion import Conversion
from conversions_assets.contract.source import Finding, QueryError
from conversions_assets.definitions import Deployment, read_deployment, warehouse_resource
from conversions_assets.project import ConfigurationError, load_project, read_clock, read_warehouse_settings
from conversions_assets.warehouse.base import WarehouseError
from conversions_assets.warehouse.schemas import write_schema_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for findings, 2 for a wrong setting or name."""
    parsed = _parser().parse_args(arguments)
    try:
        deployment = read_deployment(parsed.package)
        commands: dict[str, Callable[[], int]] = {
            "lint-sql": lambda: lint_sql(deployment),
            "schemas": lambda: schemas(deployment),
            "validate": lambda: validate(deployment, parsed.name, parsed.days),
            "dry-run": lambda: dry_run(deployment, parsed.name),
            "explain": lambda: explain(deployment, parsed.name, parsed.id),
            "react": lambda: react(deployment, parsed.package),
        }
        return commands[parsed.command]()
    except QueryError as error:
        print(error, file=sys.stderr)
        return 1
    except (ConfigurationError, WarehouseError) as error:
        print(error, file=sys.stderr)
        return 2


def lint_sql(deployment: Deployment) -> int:
    """Print what the static check finds in all queries."""
    findings = deployment.findings()
    for finding in findings:
        print(f"{finding}\n")
    return _summary(findings, f"{len(deployment.conversions) + len(deployment.refused)} queries")


def schemas(deployment: Deployment) -> int:
    """Write `<dataset>.schema.yaml` beside the CrmTables of each dataset that the warehouse holds."""
    resource = warehouse_resource(read_warehouse_settings())
    found: dict[str, dict[str, dict[str, str]]] = {}
    if resource.exists:
        with resource.open() as warehouse:
            found = {dataset: warehouse.tables(dataset) for dataset in deployment.folders}
    for dataset, folder in sorted(deployment.folders.items()):
        # No query reads the tables in which dlt keeps its own state.
        tables = {name: columns for name, columns in found.get(dataset, {}).items() if not name.startswith("_dlt_")}
        if not tables:
            print(f"{dataset}: the warehouse has no such dataset; load it first. Its schema file stays as it is.")
            continue
        path = write_schema_file(folder, dataset, tables)
        print(f"{dataset}: {len(tables)} tables -> {path}")
    return 0


def validate(deployment: Deployment, name: str, days: int) -> int:
    """Print findings, types, a preview, rows per day and whether the conversion can be a predicted value's target."""
    from conversions_assets.contract.validate import Preview, preview

    for refused in deployment.refused:
        if refused.findings[0].path.parent.name == name:
            print(refused)
            return 1
    conversion = _named(deployment, name)
    findings = [f for f in deployment.findings() if f.path == conversion.query.path]
    for finding in findings:
        print(f"{finding}\n")
    if any(finding.severity == "error" for finding in findings):
        return _summary(findings, conversion.query.path.name)
    try:
        with warehouse_resource(read_warehouse_settings()).open() as warehouse:
            shown: Preview = preview(warehouse, conversion, days, read_clock())
    except QueryError as error:
        print(error)
        return 1
    print(shown)
    return _summary(findings, conversion.query.path.name) or int(not shown.holds)


def dry_run(deployment: Deployment, name: str | None) -> int:
    """Print what BigQuery would read and bill for the conversions; 1 where it refuses a query."""
    from conversions_assets.contract.dry_run import dry_run as asked
    from conversions_assets.contract.dry_run import shown

    settings = read_warehouse_settings()
    if settings.kind != "bigquery":
        raise ConfigurationError("CONVERSIONS_WAREHOUSE=duckdb bills nothing: set bigquery for a dry run")
    found, refused = [], [str(error) for error in deployment.refused]
    with warehouse_resource(settings).open() as warehouse:
        for conversion in [_named(deployment, name)] if name else deployment.conversions:
            try:
                found.append(asked(warehouse, conversion, read_clock()))
            except QueryError as error:
                refused.append(str(error))
    print(shown(found))
    refused += [run.over_limit for run in found if run.over_limit]
    for text in refused:
        print(f"\n{text}")
    return int(bool(refused))


def react(deployment: Deployment, package: Path) -> int:
    """Look once for new CRM loads, scan, rerun what changed; 1 if a run or a check failed."""
    from conversions_assets.automation.react import react as react_once
    from conversions_assets.definitions import build_definitions

    definitions = build_definitions(package)
    warehouse = warehouse_resource(read_warehouse_settings())
    done = react_once(definitions, deployment.conversions, warehouse, deployment.catalog.declared)
    print(done)
    return int(bool(done.failed))


def explain(deployment: Deployment, name: str, id: str) -> int:
    """Print the story of one id: each published version, why it changed, and whether it may change now."""
    from conversions_assets.adjustment.explain import explain as story

    conversion = _named(deployment, name)
    with warehouse_resource(read_warehouse_settings()).open() as warehouse:
        told = story(warehouse, conversion, id, read_clock())
    print(told or f"{name}: nothing is known of the id {id}; ids are case-sensitive")
    return int(told is None)


def _named(deployment: Deployment, name: str) -> Conversion:
    conversion = next((c for c in deployment.conversions if c.name == name), None)
    if conversion is None:
        names = ", ".join(sorted(c.name for c in deployment.conversions))
        raise ConfigurationError(f"there is no conversion '{name}'; there are {names or 'none'}")
    return conversion


def _summary(findings: Sequence[Finding], checked: str) -> int:
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    print(f"{checked}: {errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}")
    return int(errors > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conversions_assets", description=__doc__)
    parser.add_argument("--package", type=Path, default=Path(__file__).parent, help="the package that holds defs/")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lint-sql", help="the static check of all queries")
    commands.add_parser("schemas", help="write the schema files of the raw datasets")
    commands.add_parser("react", help="once what the sensors do: new CRM loads, scan, reruns (for cron)")
    one = commands.add_parser("validate", help="one conversion, against the warehouse; nothing is written")
    one.add_argument("name", help="the conversion's name: its folder")
    one.add_argument("--days", type=int, default=60, help="closed days before today to look at (%(default)s)")
    dry = commands.add_parser("dry-run", help="what BigQuery would read and bill; nothing is run")
    dry.add_argument("name", nargs="?", help="one conversion; without it all")
    story = commands.add_parser("explain", help="the story of one id: each version, its reason, and why it is frozen")
    story.add_argument("name", help="the conversion's name: its folder")
    story.add_argument("id", help="the conversion's id")
    return parser


if __name__ == "__main__":
    load_project()
    sys.exit(main())
