"""`make fake-crm`: serve the fake CRM on 127.0.0.1, and nowhere else."""

import argparse

import uvicorn

from conversions_assets.demo import crm
from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.populate import populate
from conversions_assets.demo.fake_crm.world import World
from conversions_assets.demo.history import history


def main() -> None:
    """Serve the company of `make demo`, or random records, until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m conversions_assets.demo.fake_crm", description=__doc__)
    parser.add_argument("--port", type=int, default=8025)
    parser.add_argument("--objects", type=int, help="so many random records in place of the demo's company")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fake = FakeCrm(make_world(arguments.objects, arguments.seed))
    # No access log: a Pipedrive token may stand in a query.
    uvicorn.run(fake, host="127.0.0.1", port=arguments.port, access_log=False, log_level="warning")


def make_world(objects: int | None, seed: int) -> World:
    """A world of so many random records; without a number the demo's company, at the demo's clock."""
    if objects is not None:
        world = World()
        populate(world, objects, seed)
        return world
    world = crm.begin()
    for load in history(seed):
        crm.play(world, load)
    return world


if __name__ == "__main__":
    main()
