"""A test in the daemon's place: ticks of the sensors and the runs they ask for, in this process."""

from typing import Protocol

import dagster as dg

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


class Loadable(Protocol):
    """A project folder that can be loaded."""

    def load(self) -> dg.Definitions: ...


class World:
    """A deployment with an instance, in which a test plays the daemon."""

    def __init__(self, deployment: Loadable, instance: dg.DagsterInstance) -> None:
        self.deployment, self.instance = deployment, instance
        self.cursors: dict[str, str | None] = {}
        self.keys: set[str | None] = set()

    def tick(self, name: str) -> list[dg.RunRequest]:
        """One evaluation of a sensor; a run key that was seen asks for nothing, as in Dagster."""
        definitions = self.deployment.load()
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            repository_def=definitions.get_repository_def(),
            resources=definitions.resources if name == "crm_loads" else None,
        ) as context:
            ticked = definitions.resolve_sensor_def(name).evaluate_tick(context)
        self.cursors[name] = ticked.cursor
        self.events = [(e.asset_key.to_user_string(), e.metadata["CRM load"].value) for e in ticked.asset_events]
        new = [request for request in ticked.run_requests or () if request.run_key not in self.keys]
        self.keys |= {request.run_key for request in new}
        self.skipped = ticked.skip_message
        return new

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        definitions = self.deployment.load()
        scan = "ops" in request.run_config
        job = definitions.resolve_job_def("scan") if scan else definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags=dict(request.tags),
            asset_selection=None if scan else list(request.asset_selection or ()),
            raise_on_error=False,
        )

    def scan(self) -> list[dg.RunRequest]:
        """The ticks and the scan after a load; returns the reruns that are asked for."""
        for request in self.tick("crm_loads"):
            assert self.run(request).success
        return self.tick("changed_days")

    def settle(self) -> list[tuple[str, ...]]:
        """The whole way; returns first day, last day and stations of each rerun."""
        asked = self.scan()
        for request in asked:
            assert self.run(request).success
        return [shown(request) for request in asked]


def shown(request: dg.RunRequest) -> tuple[str, ...]:
    stations = [key.path[0] for key in request.asset_selection or ()]
    return (*(request.tags[tag] for tag in RANGE), *stations)
