"""`make fake-crm`: serve the fake CRM on 127.0.0.1, and nowhere else."""

import argparse

import uvicorn

from conversions_assets.demo.fake_crm.app import FakeCrm
from conversions_assets.demo.fake_crm.populate import populate


def main() -> None:
    """Fill a world and serve it until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m conversions_assets.demo.fake_crm", description=__doc__)
    parser.add_argument("--port", type=int, default=8025)
    parser.add_argument("--objects", type=int, default=1000, help="records to begin with")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    crm = FakeCrm()
    populate(crm.world, arguments.objects, arguments.seed)
    # No access log: a Pipedrive token may stand in a query.
    uvicorn.run(crm, host="127.0.0.1", port=arguments.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
