"""Accuracy of the predicted value on simulated leads with known truth, and what it costs (`make bench-prediction`).

The simulation and the reference figures lie in ../shared: benchmarks/simulated_leads.py and design/prediction.md. Three
tables: the errors beside the reference (12 seeds, 3,000 and 300 leads), how often the 90 % interval of a week's sum
holds, and time and memory at 10,000, 100,000 and 1,000,000 leads. Exits with 1 when a figure of 3,000 leads is worse
than the reference by more than 0.02. All on one thread.
"""

import argparse
import importlib.util
import json
import re
import resource
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import pandas as pd
from measure import note, run_child
from threadpoolctl import threadpool_limits

from conversions_assets.prediction.model import NoTargets, PredictedValueModel

HERE = Path(__file__).resolve()
SHARED = HERE.parent.parent.parent / "shared"
ALLOWED = 0.02
HIGHER_IS_BETTER = {"spearman", "gini"}
SEEDS = range(12)
SIZES = (10_000, 100_000, 1_000_000)
WEEK = 7.0

Array = np.ndarray[Any, np.dtype[np.float64]]


def fit_predict(
    features: pd.DataFrame, age: Array, delay: Array, value: Array, new_features: pd.DataFrame
) -> tuple[Array, Array]:
    """Fit the product's estimator and score new leads.

    Args:
        features: (n, features).
        age: (n,) days from the lead to the cut-off.
        delay: (n,) days from the lead to its target, inf where none is known yet.
        value: (n,) value of the target.
        new_features: (m, features).

    Returns:
        (m,) P(target within 40 days) and (m,) E(value | target).
    """
    model = PredictedValueModel(window_days=40.0).fit(features, age, delay, value)
    return model.predict_proba(new_features)[:, 1], model.predict_target_value(new_features)


def load_simulation() -> ModuleType:
    """The module of simulated leads.

    Raises:
        SystemExit: ../shared is not there.
    """
    path = SHARED / "benchmarks" / "simulated_leads.py"
    spec = importlib.util.spec_from_file_location("simulated_leads", path)
    if not path.exists() or spec is None or spec.loader is None:
        raise SystemExit(f"{path} is missing: the simulation lies beside this repository")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def reference(scenarios: tuple[str, ...]) -> tuple[pd.DataFrame, dict[str, float]]:
    """The reference figures of 3,000 leads, and the count errors of 300.

    Raises:
        SystemExit: prediction.md does not hold them.
    """
    text = (SHARED / "design" / "prediction.md").read_text(encoding="utf-8")
    header = re.search(r"^\| scenario \|(.+)\|$", text, re.MULTILINE)
    small = re.search(r"n = 300.*?count_error ((?:[\d.]+ / )+[\d.]+)", text, re.DOTALL)
    rows = {name: re.search(rf"^\| {name} \|(.+)\|$", text, re.MULTILINE) for name in scenarios}
    if header is None or small is None or None in rows.values():
        raise SystemExit("../shared/design/prediction.md has no table of reference figures any more")
    names = [name.strip() for name in header[1].split("|")]
    figures = {name: [float(cell) for cell in row[1].split("|")] for name, row in rows.items() if row}
    counts = [float(cell) for cell in small[1].split(" / ")]
    return pd.DataFrame.from_dict(figures, orient="index", columns=names), dict(zip(scenarios, counts, strict=True))


def show_errors(simulation: ModuleType) -> bool:
    """Print both tables of errors; whether a figure of 3,000 leads is too far from the reference."""
    expected, small = reference(simulation.SCENARIOS)
    found = simulation.benchmark(fit_predict, n=3000, seeds=SEEDS)
    worse = pd.DataFrame(
        {
            name: (expected[name] - found[name]) if name in HIGHER_IS_BETTER else (found[name] - expected[name])
            for name in expected.columns
        }
    )
    print(f"\n3,000 leads, {len(SEEDS)} seeds: ours (reference); ! worse by more than {ALLOWED}")
    print(f"{'scenario':10}" + "".join(f"{name:>18}" for name in expected.columns))
    for scenario in expected.index:
        cells = [
            f"{found.loc[scenario, name]:.3f} ({expected.loc[scenario, name]:.3f})"
            + ("!" if worse.loc[scenario, name] > ALLOWED + 1e-9 else " ")
            for name in expected.columns
        ]
        print(f"{scenario:10}" + "".join(f"{cell:>18}" for cell in cells))
    found = simulation.benchmark(fit_predict, n=300, seeds=SEEDS)
    print(f"\n300 leads, {len(SEEDS)} seeds: count_error, ours (reference)")
    for scenario, figure in small.items():
        print(f"{scenario:10}{found.loc[scenario, 'count_error']:10.3f} ({figure:.3f})")
    return bool((worse.to_numpy() > ALLOWED + 1e-9).any())


def show_coverage(simulation: ModuleType) -> None:
    """Print how many 90 % intervals hold the realised value of a week of new leads."""
    print("\nweeks whose realised value lies in the 90 % interval of the predicted sum")
    print(f"{'scenario':10}{'3,000 leads':>14}{'300 leads':>14}")
    every: dict[int, list[bool]] = {3000: [], 300: []}
    for scenario in simulation.SCENARIOS:
        cells = []
        for leads in every:
            held = [inside for seed in SEEDS for inside in _weeks(simulation, scenario, seed, leads)]
            every[leads] += held
            cells.append(f"{np.mean(held):14.3f}")
        print(f"{scenario:10}" + "".join(cells))
    print(f"{'all':10}" + "".join(f"{np.mean(held):14.3f}" for held in every.values()))


def _weeks(simulation: ModuleType, scenario: str, seed: int, leads: int) -> list[bool]:
    rng = np.random.default_rng([seed, 1000 + simulation.SCENARIOS.index(scenario)])
    train = simulation.simulate(leads, scenario, rng)
    age, delay = train.known_at_cutoff()
    try:
        model = PredictedValueModel(simulation.WINDOW).fit(train.features, age, delay, train.value)
    except NoTargets:
        return []
    held = []
    for week in range(int(simulation.WINDOW // WEEK)):
        period = (-WEEK * (week + 1), -WEEK * week)
        new = simulation.simulate(round(leads * WEEK / simulation.HISTORY), scenario, rng, period)
        _, low, high = model.predict_sum(new.features, -new.created)
        held.append(low <= new.value[new.delay <= simulation.WINDOW].sum() <= high)
    return held


def measure_size(leads: int) -> None:
    """In a process of its own: fit to so many leads and score them; prints CPU seconds and memory as JSON."""
    simulation = load_simulation()
    train = simulation.simulate(leads, "base", np.random.default_rng(0))
    age, delay = train.known_at_cutoff()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    model = PredictedValueModel(simulation.WINDOW).fit(train.features, age, delay, train.value)
    fitted = time.process_time()
    model.predict(train.features)
    scored = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"fit": fitted - started, "score": scored - fitted, "before": before / 1024, "peak": peak / 1024}))


def show_sizes() -> None:
    """Print CPU time and memory by number of leads, and the growth from one size to the next."""
    print("\nbase: CPU seconds of one thread, and peak memory of the process (before: with the simulated leads)")
    print(f"{'leads':>10}{'fit':>10}{'score':>10}{'before':>12}{'peak':>12}{'time, x 10 leads':>20}")
    last = None
    for leads in SIZES:
        note(f"{leads:,} leads")
        child = run_child([sys.executable, HERE, "--size", str(leads)], HERE.parent.parent)
        found = json.loads(child.output.strip().splitlines()[-1])
        total = found["fit"] + found["score"]
        growth = f"{total / last:.1f}" if last else ""
        memory = "".join(f"{found[name]:9.0f} MB" for name in ("before", "peak"))
        print(f"{leads:10,}{found['fit']:8.1f} s{found['score']:8.1f} s{memory}{growth:>20}")
        last = total


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, help="measure one size and print JSON")
    chosen = parser.parse_args()
    if chosen.size:
        measure_size(chosen.size)
        return
    simulation = load_simulation()
    too_far = show_errors(simulation)
    show_coverage(simulation)
    show_sizes()
    if too_far:
        sys.exit(1)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
