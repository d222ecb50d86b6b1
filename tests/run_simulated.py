"""A study on the simulated bench, as a process of its own that a test can kill: study file, results, log of what is measured.

The log gets a line for each measurement as it begins. With a fourth argument N the process kills itself, as a power cut
would, when it begins its Nth measurement.
"""

import os
import signal
import sys
from pathlib import Path

from joulefront.records import Grade, Job
from joulefront.study import run
from simulated import Bench, Silent, bench_of


def main() -> None:
    study, results, log = (Path(argument) for argument in sys.argv[1:4])
    last = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    begun = 0

    def note(job: Job, grade: Grade) -> None:
        nonlocal begun
        begun += 1
        with log.open("a") as file:
            file.write(f"{grade} {job.label}\n")
        if begun == last:
            os.kill(os.getpid(), signal.SIGKILL)

    run(study, results, Silent(), bench_of(Bench(on_measure=note)))


if __name__ == "__main__":
    main()
