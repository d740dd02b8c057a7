"""What loading a CRM costs (`make bench-crm`): our load of HubSpot against dlt's own fastest path, over the same HTTP.

The peer lists the same pages from the same fake with dlt's own REST client, all properties as they come, no nested
tables, parquet, appended: no merge, no versions, no associations, no deletions. Both sides are processes of their own;
throughput is rows written to the warehouse's tables per second of the whole process. A second load of ours then brings
100 changes, and its requests are counted.
"""

import argparse
import json
import os
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

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import Finished, Measured, keep_bytecode, note, run_child, show

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
    rows, requests, peaks = _measure(options.objects, options.port, options.runs)
    rows.append(Measured("peak memory: ten times the rows / rows", peaks, small, "MB", 1.25))
    show(rows, f"HubSpot, {options.objects:,} objects over HTTP")
    print(f"\n100 changes: {requests} requests; a first load of all: {options.objects // 100:,} for the lists alone")
    missed = [f"{row.name}: {row.ratio:.2f}, at most {row.target:.2f}" for row in rows if row.missed]
    if requests > 60:
        missed.append(f"100 changes cost {requests} requests, at most 60")
    for line in missed:
        print(f"missed: {line}")
    return bool(missed)


def _measure(objects: int, port: int, runs: int) -> tuple[list[Measured], int, float]:
    """Both sides over one fake; the ratios, the requests of the second load, and our peak memory in MB."""
    pairs, ours = [], None
    with _serving(round(objects / SHARE), port) as address:
        for number in range(runs):
            ours = _run("ours", address, number)
            peer = _run("peer", address, number)
            shown = [json.loads(side.output.splitlines()[-1])["rows"] / side.seconds for side in (ours, peer)]
            note(f"{objects:,} objects: {shown[0]:,.0f} rows/s to {shown[1]:,.0f}; {ours.peak_mb:.0f} MB")
            pairs.append((shown[1], shown[0]))
        assert ours is not None
        _post(address, "/fake/clock", {"advance": 3600})
        change = {"op": "update", "kind": "contact", "fields": {"city": "Elsewhere"}}
        _post(address, "/fake/events", [{**change, "number": number} for number in range(1, 101)])
        urllib.request.urlopen(urllib.request.Request(f"{address}/fake/requests", method="DELETE"))
        again = json.loads(_run("ours", address, runs - 1).output.splitlines()[-1])
        note(f"100 changes: {again['rows']} rows in {again['seconds']:.1f} s")
        counted = json.load(urllib.request.urlopen(f"{address}/fake/requests"))
    requests = sum(entry["calls"] for entry in counted)
    peer, own = (sum(side) / len(side) for side in zip(*pairs, strict=True))
    ratio = Measured("throughput: dlt's fastest path / ours (rows/s)", peer, own, "", 1 / 0.8)
    return [ratio], requests, ours.peak_mb


def _run(side: str, address: str, number: int) -> Finished:
    folder = FOLDER / f"{side}_{number}"
    folder.mkdir(exist_ok=True)
    return run_child([sys.executable, Path(__file__), "--child", side, "--address", address], folder)


def _child(side: str, address: str) -> int:
    started = time.perf_counter()
    rows = _ours(address) if side == "ours" else _peer(address)
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started}))
    return 0


def _ours(address: str) -> int:
    import dlt

    from conversions_assets.crm.client import Patience
    from conversions_assets.crm.load import load, make_pipeline
    from conversions_assets.crm.source import Settings, find_crm

    crm = find_crm("hubspot")(Settings(address=address, objects=OBJECTS))
    client = crm.client({"token": _token(address)}, Patience())
    now = datetime.fromisoformat(json.load(urllib.request.urlopen(f"{address}/fake/clock"))["now"])
    pipeline = make_pipeline("hubspot", dlt.destinations.duckdb("ours.duckdb"), Path("dlt"))
    return sum(load(pipeline, crm.tables(client), now).rows.values())


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
