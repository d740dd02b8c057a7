"""What loading a CRM costs (`make bench-crm`): our load of HubSpot against dlt's own fastest path, over the same HTTP.

The peer lists the same pages from the same fake with dlt's own REST client, all properties as they come, no nested
tables, parquet, appended: no merge, no versions, no associations, no deletions. Both sides are processes of their own;
throughput is rows written to the warehouse's tables (ours: also versions and associations) per second of the whole
process. A second load of ours then brings 100 changes, and its requests are counted. While DuckDB merges, its cache
grows with the tables: our own memory is therefore taken before rows are stored, and the whole peak beside the peer's.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import Finished, Measured, keep_bytecode, note, of_pairs, run_child, show

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".bench" / "crm_load"
OBJECTS = ("contacts", "companies", "deals")
SHARE = 0.8
"""Of ten records that the fake makes two are leads, which HubSpot has not."""


def main() -> int:
    options = _options()
    if options.child:
        return _child(options.child, options.address)
    keep_bytecode()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    small = _measure(options.objects // 10, options.port, 1)[2]
    rows, requests, reading = _measure(options.objects, options.port, options.runs)
    rows.append(Measured("peak memory until rows are stored: ten times the rows / rows", reading, small, "MB", 1.25))
    show(rows, f"HubSpot, {options.objects:,} objects over HTTP")
    print(f"\n100 changes: {requests} requests; a first load of all: {options.objects // 100:,} for the lists alone")
    missed = [f"{row.name}: {row.ratio:.2f}, at most {row.target:.2f}" for row in rows if row.missed]
    if requests > 60:
        missed.append(f"100 changes cost {requests} requests, at most 60")
    for line in missed:
        print(f"missed: {line}")
    return bool(missed)


def _measure(objects: int, port: int, runs: int) -> tuple[list[Measured], int, float]:
    """Both sides over one fake: ratios, requests of the second load, our memory (MB) until rows are stored."""
    speeds, peaks, reading = [], [], 0.0
    with _serving(round(objects / SHARE), port) as address:
        for number in range(runs):
            ours, peer = (_run(side, address, number) for side in ("ours", "peer"))
            told = [json.loads(side.output.splitlines()[-1]) for side in (ours, peer)]
            own, other = told[0]["rows"] / ours.seconds, told[1]["rows"] / peer.seconds
            note(f"{objects:,} objects: {own:,.0f} rows/s to {other:,.0f}; {ours.seconds:.0f} s to {peer.seconds:.0f}")
            speeds.append((other, own))
            peaks.append((ours.peak_mb, peer.peak_mb))
            reading = max(reading, told[0]["reading_mb"])
        _post(address, "/fake/clock", {"advance": 3600})
        change = {"op": "update", "kind": "contact", "fields": {"city": "Elsewhere"}}
        _post(address, "/fake/events", [{**change, "number": number} for number in range(1, 101)])
        urllib.request.urlopen(urllib.request.Request(f"{address}/fake/requests", method="DELETE"))
        _run("ours", address, runs - 1)
        counted = json.load(urllib.request.urlopen(f"{address}/fake/requests"))
    rows = [
        of_pairs("throughput: dlt's fastest path / ours (rows/s)", speeds, "", 1 / 0.8),
        of_pairs("peak memory: ours / dlt's fastest path", peaks, "MB"),
    ]
    return rows, sum(entry["calls"] for entry in counted), reading


def _run(side: str, address: str, number: int) -> Finished:
    folder = FOLDER / f"{side}_{number}"
    folder.mkdir(exist_ok=True)
    return run_child([sys.executable, Path(__file__), "--child", side, "--address", address], folder)


def _child(side: str, address: str) -> int:
    print(json.dumps(_ours(address) if side == "ours" else {"rows": _peer(address)}))
    return 0


def _ours(address: str) -> dict[str, float]:
    import dlt
    from dlt.pipeline.pipeline import Pipeline

    from conversions_assets.crm.client import Patience
    from conversions_assets.crm.load import load, make_pipeline
    from conversions_assets.crm.source import Settings, find_crm

    crm = find_crm("hubspot")(Settings(address=address, objects=OBJECTS))
    client = crm.client({"token": _token(address)}, Patience())
    now = datetime.fromisoformat(json.load(urllib.request.urlopen(f"{address}/fake/clock"))["now"])
    pipeline = make_pipeline("hubspot", dlt.destinations.duckdb("ours.duckdb"), Path("dlt"))
    storing, reading = Pipeline.load, []

    def note_peak(self: Pipeline, *given: Any, **named: Any) -> Any:
        reading.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return storing(self, *given, **named)

    with patch.object(Pipeline, "load", note_peak):
        rows = sum(load(pipeline, crm.tables(client), now).rows.values())
    return {"rows": rows, "reading_mb": reading[-1]}


def _peer(address: str) -> int:
    import dlt
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
    from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator

    paginator = JSONResponseCursorPaginator(cursor_path="paging.next.after", cursor_param="after")
    client = RESTClient(address, auth=BearerTokenAuth(_token(address)), paginator=paginator, data_selector="results")

    @dlt.source(max_table_nesting=0)
    def hubspot() -> Iterator[Any]:
        for name in OBJECTS:
            pages = client.paginate(f"/crm/v3/objects/{name}", params={"limit": 100})
            yield dlt.resource(pages, name=name, write_disposition="append")

    pipeline = dlt.pipeline(
        "peer", destination=dlt.destinations.duckdb("peer.duckdb"), dataset_name="hubspot", pipelines_dir="dlt"
    )
    pipeline.run(hubspot(), loader_file_format="parquet")
    counts = pipeline.last_trace.last_normalize_info.row_counts
    return sum(count for name, count in counts.items() if name in OBJECTS)


def _token(address: str) -> str:
    token: str = json.load(urllib.request.urlopen(f"{address}/fake/credentials"))["hubspot"]["token"]
    return token


def _post(address: str, path: str, body: Any) -> None:
    data = json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(f"{address}{path}", data, {"Content-Type": "application/json"}))


@contextmanager
def _serving(objects: int, port: int) -> Iterator[str]:
    command = [sys.executable, "-m", "conversions_assets.demo.fake_crm", "--port", str(port), "--objects", str(objects)]
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    address = f"http://127.0.0.1:{port}"
    try:
        while server.poll() is None:
            try:
                urllib.request.urlopen(f"{address}/fake/clock")
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100_000, help="contacts, companies and deals together")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--port", type=int, default=8026)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
