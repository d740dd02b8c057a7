"""Random histories: the product does what the small model of R12-R24 does, version for version.

The histories are the same in each run of the tests. `make soak` looks at 2,000 new ones; one that fails is kept here.
"""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from conversions_assets_tests.adjustment import histories
from conversions_assets_tests.adjustment.histories import History

SETTINGS = settings(
    max_examples=150,
    stateful_step_count=5,
    deadline=None,
    derandomize=True,
    database=None,
    # what fails is made small by `make soak`
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
HAPPENED = ("runs", "scans", "reruns", "quiet", "settled", "audits", "alone", "thaws", "releases", "stops", "kills")


def test_r12_to_r24_any_history_is_published_as_the_model_says() -> None:
    before = History.seen.copy()

    try:
        run_state_machine_as_test(History, settings=SETTINGS)
    finally:
        histories.close()

    seen = History.seen - before
    assert seen["histories"] >= 150
    assert all(seen[what] >= 10 for what in HAPPENED), seen
