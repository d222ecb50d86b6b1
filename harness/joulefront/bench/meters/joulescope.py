"""A Joulescope (JS110, JS220, JS320) between the device and its supply."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from joulefront.bench.meters import joulescope_driver
from joulefront.bench.meters.joulescope_blocks import Bits, Block, Statistics, edges
from joulefront.bench.meters.joulescope_energy import covering, from_samples, from_sums
from joulefront.bench.meters.joulescope_tap import Tap
from joulefront.bench.meters.wall import Wall, wall_s
from joulefront.errors import ConfigError, MeterError
from joulefront.records import EnergyWindow, Provenance, Stretch

# How far the instrument's time may be off at least: what its driver knows of it comes over USB, in frames of 1 ms.
_CLOCK_S = 1e-3
# How far a mark may lie beside where the clocks say that the window began or ended.
_MARK_S = 0.05
RATE_HZ = 10_000
"""How many samples a second are streamed where nothing else is asked for."""

COVERS = "everything behind the Joulescope"
"""What it covers where nobody says."""

_STEP_J = {"js110": 2.0**-27, "js220": 2.0**-31, "js320": 2.0**-31}


class Joulescope:
    """Measures what flows through a Joulescope. See ``protocols.PowerMeter``.

    ``device`` is its path, such as "u/js220/000123", where several are plugged in. ``mode`` "stream" has ``fs`` samples of
    power a second sent here, so that a window begins and ends within one of them; "statistics" asks for the energy that the
    instrument itself sums up from all its samples, twice (JS110) or ten times a second, which windows should be long against.
    With ``gpi``, that input of it is high while a window lasts, and its edges say when that was. ``gain`` is the share by
    which its power may be off at most, as its data sheet or your certificate says. ``covers`` is what lies behind it.

    Raises ConfigError for arguments that are wrong or a driver that is not installed, and MeterError for an instrument that is
    not there or that another program has.
    """

    provenance: Provenance = "measured"

    def __init__(
        self,
        device: str | None = None,
        mode: Literal["stream", "statistics"] = "stream",
        fs: int = RATE_HZ,
        gpi: int | None = None,
        gain: float | None = None,
        covers: str = COVERS,
    ) -> None:
        if not 1000 <= fs <= 1_000_000:
            raise ConfigError(f"fs: expected 1000 to 1000000 samples a second, not {fs}")
        if gpi is not None and mode == "statistics":
            raise ConfigError('gpi: edges mark single samples, so it needs mode = "stream"')
        self.covers, self._gain = covers, gain
        self._driver = joulescope_driver.driver()
        self._path = ""
        try:
            path = joulescope_driver.chosen(self._driver.device_paths(), device)
            self._model_name, self._model = joulescope_driver.model_of(path)
            if gpi is not None and not 0 <= gpi < self._model.inputs:
                raise ConfigError(f"gpi: {path} has inputs 0 to {self._model.inputs - 1}, not {gpi}")
            self._open(path)
            setup = (*self._model.setup, *((("h/fs", fs),) if mode == "stream" else ()))
            for topic, value in setup:
                self._publish(topic, value)
        except BaseException:
            self.close()
            raise
        self.name = f"joulescope:{path}"
        self._wall = Wall()
        # What the instrument sums up tells its extremes, too: those show what is beyond its range.
        self._summed = Tap(self.name, f"{path}/{self._model.statistics}", None, Statistics.of)
        self._power = Tap(self.name, f"{path}/s/p/!data", "s/p/ctrl", Block.of) if mode == "stream" else None
        self._marks = None if gpi is None else Tap(self.name, f"{path}/s/gpi/{gpi}/!data", f"s/gpi/{gpi}/ctrl", Bits.of)

    @property
    def _taps(self) -> Sequence[Tap[Any]]:
        return [tap for tap in (self._summed, self._power, self._marks) if tap is not None]

    def begin(self) -> None:
        """See PowerMeter."""
        self._wall = Wall()
        try:
            for tap in self._taps:
                tap.clear()
                self._asked(tap.topic, partial(self._driver.subscribe, tap.topic, "pub", tap.heard))
                if tap.control:
                    self._publish(tap.control, 1)
            for tap in self._taps:
                tap.wait()
        except BaseException:
            self._stop()
            raise
        self._wall.look()

    def end(self) -> None:
        """See PowerMeter. What was measured up to now comes a little later."""
        self._wall.look()
        now_s = wall_s()
        try:
            for tap in self._taps:
                tap.wait(now_s)
        finally:
            self._stop()

    def energy(self, stretch: Stretch) -> EnergyWindow:
        """See PowerMeter."""
        (begin_s, off_s), (end_s, _) = self._wall.at(stretch.begin_s), self._wall.at(stretch.end_s)
        summed, late_s = self._summed.blocks()
        samples: list[Block] = []
        if self._power is not None:
            samples, late_s = self._power.blocks()
        edges_s = stretch.edges_s + off_s + max(_CLOCK_S, late_s)
        if self._marks is not None:
            begin_s, end_s, edges_s = self._marked(begin_s, end_s, edges_s, self._marks)
        doubts = self._judged(covering(self.name, summed, begin_s, end_s))
        if self._power is None:
            energy_j, period_s, strayed_s = from_sums(self.name, summed, begin_s, end_s)
        else:
            energy_j, period_s, strayed_s = from_samples(self.name, samples, begin_s, end_s)
        if energy_j <= 0:
            raise MeterError(
                f"{self.name} told {energy_j:.3g} J over {end_s - begin_s:.3g} s: the device is not supplied through it, or "
                "the wires are the wrong way round"
            )
        return EnergyWindow(
            energy_j,
            end_s - begin_s,
            stretch.inferences,
            _STEP_J[self._model_name],
            period_s,
            self._gain,
            edges_s + strayed_s,
            0.0,
            doubts,
        )

    def close(self) -> None:
        """See PowerMeter."""
        if self._path:
            with contextlib.suppress(RuntimeError, TimeoutError):
                self._driver.close(self._path)
        with contextlib.suppress(RuntimeError, TimeoutError):
            self._driver.finalize()

    def _open(self, path: str) -> None:
        try:
            self._driver.open(path)
        except (RuntimeError, TimeoutError) as error:
            raise MeterError(
                f"Joulescope {path} cannot be opened ({error}): another program such as the Joulescope UI may have it, which is "
                f"to be closed, or this user may not use it: {joulescope_driver.RULES}"
            ) from error
        self._path = path

    def _publish(self, topic: str, value: object) -> None:
        self._asked(f"{self._path}/{topic}", partial(self._driver.publish, f"{self._path}/{topic}", value))

    def _asked(self, topic: str, ask: Callable[[], object]) -> None:
        try:
            ask()
        except (RuntimeError, TimeoutError) as error:
            raise MeterError(
                f"Joulescope {self._path} does not take {topic}: {error}. Is it still plugged in?"
            ) from error

    def _stop(self) -> None:
        """Nothing more is to come; whether it was there to hear that, does not matter."""
        for tap in self._taps:
            with contextlib.suppress(RuntimeError, TimeoutError):
                if tap.control:
                    self._driver.publish(f"{self._path}/{tap.control}", 0)
            with contextlib.suppress(RuntimeError, TimeoutError):
                self._driver.unsubscribe(tap.topic, tap.heard)

    def _marked(self, begin_s: float, end_s: float, edges_s: float, marks: Tap[Bits]) -> tuple[float, float, float]:
        """When the input rose and fell, near to where the clocks say, and how well that is known."""
        blocks, _ = marks.blocks()
        at = [(block.time_map.wall_s(tick), rises) for block, tick, rises in edges(blocks)]
        reach_s = edges_s + _MARK_S
        found = []
        for what, wanted_s, rising in (("rise", begin_s, True), ("fall", end_s, False)):
            near = [time_s for time_s, rises in at if rises is rising and abs(time_s - wanted_s) <= reach_s]
            if len(near) != 1:
                raise MeterError(
                    f"{self.name}: its input was to {what} once within {reach_s:.3g} s of where the device's clock has the "
                    f"window, and did {len(near)} times. Is it wired to the pin that the device raises?"
                )
            found += near
        sample_s = blocks[0].step / blocks[0].time_map.rate
        return found[0], found[1], sample_s

    def _judged(self, blocks: Sequence[Statistics]) -> tuple[str, ...]:
        """What is doubtful about a window under these statistics, which leave out no moment of it, in words.

        Raises MeterError where the current or the voltage met the ends of what the model measures.
        """
        for block in blocks:
            for what, unit, seen, limits in (
                ("voltage", "V", block.voltage_v, self._model.volts),
                ("current", "A", block.current_a, self._model.amperes),
            ):
                if limits and not (limits[0] < seen[0] and seen[1] < limits[1]):
                    raise MeterError(
                        f"{self.name}: the {what} went from {seen[0]:.4g} to {seen[1]:.4g} {unit}, and a "
                        f"{self._model_name.upper()} measures {limits[0]:g} to {limits[1]:g} {unit}. docs/wiring.md says where "
                        "to put it instead"
                    )
        steady_a = self._model.steady_a
        if steady_a is None or all(block.mean_a <= steady_a for block in blocks):
            return ()
        most = (
            f"{steady_a:g} A, which is all that the maker of a {self._model_name.upper()} recommends for continuous use"
        )
        return (f"the current was above {most}: docs/wiring.md says what to put there instead",)
