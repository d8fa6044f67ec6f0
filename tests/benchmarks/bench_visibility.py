"""How long until another process sees a value, counted from the exit of its step's guard.

    python -m tests.benchmarks.bench_visibility

A second process trains (5 signals x 64 values a step, a step every 5 ms) and logs, with each step,
the clock at the moment its guard was left before. This one follows the log and compares clocks,
which on one machine are the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from wl_core.codec import Frame
from wl_core.log import EventLog

STEPS = 1500

TRAINING = """
import sys, time
import numpy as np
import wl_core as wl

wl.start_run(sys.argv[1])
ids, rng, left = list(range(64)), np.random.default_rng(0), []
for step in range(int(sys.argv[2])):
    with wl.guard_training_context:
        wl.save_signals({f"signal_{n}": rng.random(64) for n in range(5)}, ids)
    left.append(time.time())
    time.sleep(0.005)
wl.finish()
print("\\n".join(map(repr, left)))
"""


def main() -> None:
    """Prints a table, then the same as one line of JSON."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        run = Path(directory) / "run"
        training = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(run), str(STEPS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        while not (run / "rank-0000" / "log" / "data.mdb").exists():
            time.sleep(0.01)
        log = EventLog(run / "rank-0000" / "log")
        seen: dict[int, float] = {}
        for frame in log.follow(poll=0.005):
            if isinstance(frame, Frame) and frame.phase == "train":
                seen.setdefault(frame.step, time.time())
            if len(seen) == STEPS:
                break
        log.close()
        assert training.stdout is not None
        left = [float(line) for line in training.stdout.read().split()]
        training.wait()
    delays = np.array([seen[step] - left[step] for step in range(STEPS)]) * 1e3
    figures = {f"p{q}": float(np.percentile(delays, q)) for q in (50, 99)}
    print(
        f"visible to another process after {figures['p50']:.1f} ms median,"
        f" {figures['p99']:.1f} ms p99   (asked: 150 ms p99)"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
