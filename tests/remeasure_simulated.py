"""Remeasuring on simulated devices, as a process of its own that a test can kill: two folders, a log, and when to die.

The log gets a line for each measurement as it begins; when it begins the Nth, the process kills itself, as a power cut would.
"""

import os
import signal
import sys
from pathlib import Path

from joulefront.records import Grade, Job
from joulefront.remeasure import remeasure
from simulated import Silent
from test_remeasure import Device, devices


def main() -> None:
    here, there, log = (Path(argument) for argument in sys.argv[1:4])
    last = int(sys.argv[4])
    begun = 0

    def note(job: Job, grade: Grade) -> None:
        nonlocal begun
        begun += 1
        with log.open("a") as file:
            file.write(f"{grade} {job.label}\n")
        if begun == last:
            os.kill(os.getpid(), signal.SIGKILL)

    remeasure([here, there], Silent(), devices(Device(on_measure=note), Device(True, on_measure=note)))


if __name__ == "__main__":
    main()
