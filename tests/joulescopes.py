"""Joulescopes that are none: a module with the maker's driver's calls, topics and blocks, in virtual time or from a thread.

The shapes are what binding.pyx of pyjoulescope_driver 2.2.12 and 2.5.4 makes of the driver's messages; the rates and topics are
those of the driver's js110_usb.c, js220_usb.c and js320_drv.c.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np

EPOCH_S = 1_514_764_800
TICKS = {"js110": 2_000_000, "js220": 2_000_000, "js320": 16_000_000}
SUMS_S = {"js110": 0.5, "js220": 0.1, "js320": 0.1}


class Path22(str):
    """What 2.5 lists its devices by: a string that knows its parts."""

    @property
    def model(self):
        return self.split("/")[1]


class Instrument:
    """One that sees ``power_w`` of times of the wall clock, (n,), at so many ``volts``.

    ``change`` may alter each value that it publishes under a topic, or drop it by returning None.
    """

    def __init__(
        self, path="u/js220/000123", *, power_w=lambda wall_s: 2.0, volts=5.0, ppm=0.0, level=lambda wall_s: 0
    ):
        self.path, self.power_w, self.volts, self.level = path, power_w, volts, level
        self.model = path.split("/")[1]
        self.change = lambda topic, value: value
        self.rate = TICKS[self.model] * (1 + ppm * 1e-6)
        self.fs, self.settings, self.opened = 100_000, {}, False
        self.refusal: Exception | None = None
        self.begun_s, self.first_tick = 1_800_000_000.0, 123_456_789
        self.done: dict[str, int] = {}
        self.joules, self.summed = 0.0, None

    def tick(self, wall_s):
        return self.first_tick + round((wall_s - self.begun_s) * self.rate)

    def wall_s(self, tick):
        return self.begun_s + (np.asarray(tick, dtype=float) - self.first_tick) / self.rate

    @property
    def time_map(self):
        offset_time = int((self.begun_s - EPOCH_S) * 2**30)
        return {"offset_time": offset_time, "offset_counter": self.first_tick, "counter_rate": self.rate}

    def utc(self, tick):
        return int((self.wall_s(tick) - EPOCH_S) * 2**30)

    def made(self, topic, now_s):
        """The blocks that are due under a topic, as the driver's threads hand them out."""
        match topic:
            case "s/p/!data":
                yield from self._streamed(topic, now_s, TICKS[self.model] // self.fs)
            case "s/gpi/0/!data":
                yield from self._streamed(topic, now_s, 2 if self.model == "js220" else 16)
            case "s/stats/value" | "s/sstats/value":
                yield from self._summed(topic, now_s)

    def _streamed(self, topic, now_s, step):
        first = self.done.setdefault(topic, self.tick(now_s - 0.05) // step * step)
        count = (self.tick(now_s) - first) // step
        if count <= 0:
            return
        self.done[topic] = first + count * step
        middles = self.wall_s(first + step * (np.arange(count) + 0.5))
        if topic == "s/p/!data":
            data = np.full(count, self.power_w(middles), dtype=np.float32)
        else:
            data = np.packbits(np.full(count, self.level(middles), dtype=np.uint8), bitorder="little")
        yield {
            "sample_id": first,
            "utc": self.utc(first),
            "field_id": 3,
            "index": 0,
            "sample_rate": TICKS[self.model],
            "decimate_factor": step,
            "time_map": self.time_map,
            "data": data,
        }

    def _summed(self, topic, now_s):
        length = round(SUMS_S[self.model] * TICKS[self.model])
        first = self.done.setdefault(topic, self.tick(now_s) // length * length - length)
        while first + length <= self.tick(now_s):
            at = self.wall_s(first + length * (np.arange(50) + 0.5) / 50)
            watts = np.full(50, self.power_w(at), dtype=float)
            self.joules += float(watts.mean()) * SUMS_S[self.model]
            yield self._statistics(first, first + length, watts)
            first = self.done[topic] = first + length

    def _statistics(self, first, end, watts):
        def signal(values, units):
            parts = {"avg": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
            return {key: {"value": float(value), "units": units} for key, value in parts.items()}

        volts = np.full_like(watts, self.volts)
        with np.errstate(invalid="ignore"):  # an instrument has no exceptions
            current = signal(watts / volts, "A")
            power = signal(watts, "W")
        return {
            "time": {
                "samples": {"value": [first, end], "units": "samples"},
                "utc": {"value": [self.utc(first), self.utc(end)], "units": "time64"},
                "sample_freq": {"value": TICKS[self.model], "units": "Hz"},
                "accum_samples": {"value": [self.first_tick, end], "units": "samples"},
                "time_map": self.time_map,
            },
            "signals": {"current": current, "voltage": signal(volts, "V"), "power": power},
            "accumulators": {"energy": {"value": self.joules, "int_value": -1, "int_scale": 2**-27, "units": "J"}},
            "source": "sensor",
        }  # fmt: skip


class Plugged:
    """Instruments on one host, and the driver's module: ``driver`` is what goes into sys.modules."""

    def __init__(self, *instruments, generation="2.5"):
        self.instruments = {one.path: one for one in instruments}
        self.generation = generation
        self.now_s = 1_800_000_100.0
        self.heard: dict[str, Callable] = {}
        self.finalized = 0
        self.driver = ModuleType("pyjoulescope_driver")
        self.driver.Driver = lambda: FakeDriver(self)

    def pump(self, seconds=0.05):
        """So much time passes, and what is due is published."""
        self.now_s += seconds
        for topic, fn in list(self.heard.items()):
            one, name = self._of(topic)
            if one.opened and self._on(one, name):
                for value in one.made(name, self.now_s):
                    if (told := one.change(name, value)) is not None:
                        fn(topic, told)

    def pass_by(self, seconds):
        for _ in range(round(seconds / 0.05)):
            self.pump()

    def _of(self, topic):
        path = "/".join(topic.split("/")[:3])
        return self.instruments[path], topic[len(path) + 1 :]

    @staticmethod
    def _on(one, name):
        if name == "s/sstats/value":
            return one.model == "js110" and one.settings.get("s/sstats/ctrl") == 1
        control = {"s/stats/value": "s/stats/ctrl"}.get(name, name.replace("!data", "ctrl"))
        return one.settings.get(control) == 1

    def in_virtual_time(self, patch):
        """The meter's modules know no other time than this host's, and whoever waits for a block lets it pass."""
        plugged = self

        class Event:
            def __init__(self):
                self._set = False

            def set(self):
                self._set = True

            def clear(self):
                self._set = False

            def wait(self, timeout):
                deadline_s = plugged.now_s + timeout
                while not self._set and plugged.now_s < deadline_s:
                    plugged.pump()
                return self._set

        meters = "joulefront.bench.meters"
        patch.setattr(f"{meters}.joulescope_tap.threading", SimpleNamespace(Event=Event))
        patch.setattr(f"{meters}.joulescope_tap.monotonic", lambda: self.now_s)
        for module in ("joulescope", "joulescope_tap", "wall"):
            patch.setattr(f"{meters}.{module}.wall_s", lambda: self.now_s)
        patch.setattr(f"{meters}.wall.clock_gettime", lambda clock: self.raw_s)

    @property
    def raw_s(self):
        return self.now_s - 1_799_999_000.0


class FakeDriver:
    def __init__(self, plugged):
        self._plugged = plugged

    def device_paths(self):
        paths = sorted(self._plugged.instruments)
        return [Path22(path) for path in paths] if self._plugged.generation == "2.5" else paths

    def open(self, device_prefix):
        one = self._plugged.instruments.get(device_prefix)
        if one is None:
            raise TimeoutError(f"jsdrv_open timed out | {device_prefix}")
        if one.refusal:
            raise one.refusal
        one.opened = True
        return SimpleNamespace() if self._plugged.generation == "2.5" else None

    def close(self, device_prefix):
        self._plugged.instruments[device_prefix].opened = False

    def publish(self, topic, value):
        one, name = self._plugged._of(topic)
        if not one.opened:
            raise TimeoutError(f"jsdrv_publish timed out | {topic}")
        one.settings[name] = value
        if name == "h/fs":
            if one.model == "js320" and value > 1_000_000 // 4 and value != 1_000_000:
                raise RuntimeError("jsdrv_publish failed 6 PARAMETER_INVALID")
            one.fs = value
        if name.endswith("/ctrl") and value == 0:
            one.done.pop(name.replace("ctrl", "!data"), None)

    def subscribe(self, topic, flags, fn):
        assert flags == "pub"
        self._plugged.heard[topic] = fn
        return SimpleNamespace() if self._plugged.generation == "2.5" else None

    def unsubscribe(self, topic, fn):
        if self._plugged.heard.get(topic) is not fn:  # 2.2 knows a callback by the object itself
            raise RuntimeError("jsdrv_unsubscribe failed")
        del self._plugged.heard[topic]

    def finalize(self):
        self._plugged.finalized += 1


class Streaming:
    """The instruments publish in real time, from a thread of their own, out of a queue as short as the driver's buffers.

    What finds the queue full is ``lost``, as with an instrument whose host is too slow.
    """

    def __init__(self, plugged, *, room_s=0.5):
        self._plugged, self._blocks = plugged, queue.Queue(maxsize=round(room_s / 0.05))
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._measure, self._publish)]
        self.lost = self.published = 0

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _measure(self):
        """What the instrument and USB do, which wait for nobody."""
        while not self._ended.wait(0.05):
            now_s = time.time()
            for topic in list(self._plugged.heard):
                one, name = self._plugged._of(topic)
                for value in one.made(name, now_s) if self._plugged._on(one, name) else ():
                    try:
                        self._blocks.put_nowait((topic, value))
                    except queue.Full:
                        self.lost += 1

    def _publish(self):
        """The driver's thread, which calls whoever subscribed."""
        while not self._ended.is_set():
            try:
                topic, value = self._blocks.get(timeout=0.05)
            except queue.Empty:
                continue
            if fn := self._plugged.heard.get(topic):
                fn(topic, value)
                self.published += 1
