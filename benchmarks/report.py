"""What a page about a long study takes: seconds of ``joulefront report`` as a process, and the file's bytes, as JSON.

python benchmarks/report.py [TRIALS]

The study is written by the tests' own writer, with energy among its objectives; nothing in it was measured.
"""

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from startup import processor

from written import write_study

_RUNS = 3


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        study = write_study(Path(folder), "long", count=trials, energy=True, fails=lambda number: number % 50 == 49)
        command = [str(Path(sys.executable).with_name("joulefront")), "report", str(study)]
        taken_s = []
        for _ in range(_RUNS):
            begin_s = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            taken_s.append(time.perf_counter() - begin_s)
        size_b = (study / "report.html").stat().st_size
    machine = {"processor": processor(), "python": platform.python_version(), "system": platform.platform()}
    print(json.dumps({"machine": machine, "trials": trials, "report_s": taken_s, "page_b": size_b}, indent=2))


if __name__ == "__main__":
    main()
