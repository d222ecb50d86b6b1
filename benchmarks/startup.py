"""How long a user waits for `joulefront --help`, beside what Python itself takes to start. Prints JSON.

    python benchmarks/startup.py [RUNS]

Both commands run in turn, whole processes, timed from outside; medians in s, and the median of the ratios pair by pair.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path


def duration_s(command: list[str]) -> float:
    """How long a command takes from its start to its end, in s."""
    begin_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin_s


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    help_command = [str(Path(sys.executable).with_name("joulefront")), "--help"]
    bare_command = [sys.executable, "-c", "pass"]
    pairs = [(duration_s(help_command), duration_s(bare_command)) for _ in range(runs + 1)][
        1:
    ]  # the first one warms up
    helps, bares = zip(*pairs, strict=True)
    print(
        json.dumps(
            {
                "machine": {
                    "processor": processor(),
                    "python": platform.python_version(),
                    "system": platform.platform(),
                },
                "runs": runs,
                "help_s": {"median": statistics.median(helps), "max": max(helps)},
                "bare_python_s": {"median": statistics.median(bares), "max": max(bares)},
                "ratio": statistics.median(one / other for one, other in pairs),
            },
            indent=2,
        )
    )


def processor() -> str:
    """The processor's name, where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
