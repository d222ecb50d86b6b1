"""The Raspberry Pi 5's power management chip, which tells volts and amperes of its rails by a command of the firmware."""

from __future__ import annotations

import math
import re
import resource
import time
from collections.abc import Collection
from pathlib import Path

from joulefront_agent import command
from joulefront_agent.sensors import sysfs
from joulefront_agent.sensors.meter import Looked, Meter, Unusable
from joulefront_agent.sensors.sampled import Sampled

_LINE = re.compile(r"\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=(\S+)([AV])\s*")
# Each look is a process, and a question to the firmware: more of them would slow down what is measured.
_REST_S = 0.1
_COVERS = "the Pi 5's power management chip"
_UNSEEN = "not what takes its 5 V, such as USB"
_NONE = "error_msg"  # as vcgencmd answers, with status 0 or not, where the board has no such thing


def look(root: Path) -> Looked:
    """What there is under the file system at ``root``: found by asking, since no model's name says it."""
    board = sysfs.text(root / "sys/firmware/devicetree/base/model")
    vcgencmd = command.find(root, "vcgencmd")
    if vcgencmd is None:
        if not board.startswith("Raspberry Pi"):
            return Looked(absent="there is no vcgencmd, which tells the power on a Raspberry Pi 5")
        return _not_to_be_read(
            "there is no vcgencmd, which tells the power on a Raspberry Pi 5",
            "sudo apt install raspi-utils (on older systems libraspberrypi-bin), which finds out whether this one tells it",
        )
    try:
        text = command.said(vcgencmd, "pmic_read_adc")
    except OSError as error:
        if _NONE in str(error):
            return _without(board)
        return _not_to_be_read(
            f"vcgencmd cannot ask the firmware: {error}",
            'sudo usermod -aG video "$USER", for the agent\'s user, and log in anew',
        )
    if _NONE in text:
        return _without(board)
    try:
        watts = rails(text)
    except ValueError as error:
        return _not_to_be_read(f"vcgencmd pmic_read_adc answers something else than was expected: {error}", None)
    covers = f"{_COVERS}: the sum of its {len(watts)} rails ({', '.join(sorted(watts))}); {_UNSEEN}"

    def power_w() -> float:
        now = rails(command.said(vcgencmd, "pmic_read_adc"))
        if now.keys() != watts.keys():
            raise ValueError(f"vcgencmd tells other rails than before: {', '.join(sorted(now.keys() ^ watts.keys()))}")
        return math.fsum(now.values())

    def make(name: str, cores: Collection[int]) -> Sampled:
        return Sampled(name, covers, power_w, _REST_S, cores, cost=_cost, moves=True, total=True)

    return Looked([Meter(("pmic",), covers, "power", True, make, power_w, rest_s=_REST_S)])


def rails(text: str) -> dict[str, float]:
    """The W of each rail that tells volts as well as amperes, of what vcgencmd says. Raises ValueError.

    EXT5V and BATT tell volts only: what they feed is not seen.
    """
    told: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            rail, kind, value, unit = match.groups()
            if kind != unit:
                raise ValueError(f"{line.strip():.80}")
            told.setdefault(rail, {})[unit] = float(value)
    paired = {rail: values["A"] * values["V"] for rail, values in told.items() if len(values) == 2}
    if not paired:
        raise ValueError(f"no rail with volts and amperes in {text.strip()!r:.80}")
    return paired


def _without(board: str) -> Looked:
    return _not_to_be_read(
        f"the firmware of this {board or 'board'} tells no power: only a Raspberry Pi 5's does", None
    )


def _not_to_be_read(reason: str, fix: str | None) -> Looked:
    return Looked(unusable=[Unusable("pmic", _COVERS, "power", reason, fix)])


def _cost() -> float:
    """What the sampling took, with the commands that it ran."""
    commands = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + commands.ru_utime + commands.ru_stime
