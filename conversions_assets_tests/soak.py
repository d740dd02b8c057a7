"""`make soak`: 2,000 new random histories against the model of R12-R24, with progress and a summary.

A history that fails is made small and printed as code: keep it as a test in adjustment/test_model.py.
"""

import sys
import time
from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from conversions_assets_tests.adjustment.histories import History

HISTORIES, STEPS = 2_000, 6
EVERY = 50


class Told(History):
    """A history that says how far the soak is."""

    started = time.monotonic()
    told = 0

    def teardown(self) -> None:
        super().teardown()
        done = self.seen["histories"]
        if done - Told.told >= EVERY:
            Told.told = done
            print(f"{done:,} histories in {time.monotonic() - self.started:.0f} s: {_summary()}", flush=True)


Told.__name__ = "History"


def main(arguments: Sequence[str]) -> int:
    """Run so many histories (2,000 without an argument); 1 if one fails, after its code was printed."""
    wanted = int(arguments[0]) if arguments else HISTORIES
    chosen = settings(
        max_examples=wanted,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Told, settings=chosen)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ()), sep="\n")
        print(f"after {History.seen['histories']:,} histories one fails; keep its steps as a test in test_model.py")
        return 1
    print(f"{History.seen['histories']:,} histories agree with the model: {_summary()}")
    return 0


def _summary() -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sorted(History.seen.items()) if what != "histories")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
