"""A real board, registered by whoever runs this: JOULEFRONT_TEST_DEVICE=pi5 .venv/bin/python -m pytest -m hardware"""

import os

import pytest

from joulefront import self_test
from joulefront_devices import load
from simulated import Silent

pytestmark = pytest.mark.hardware

NAME = os.environ.get("JOULEFRONT_TEST_DEVICE", "local")


def test_it_passes_its_self_test_and_its_numbers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOULEFRONT_DEVICES")  # the tests' own; this one is the user's
    verdict = self_test.self_test(load(NAME), Silent())
    assert verdict.status in ("ready", "incomplete"), verdict.findings
    assert verdict.measurement is not None
    assert verdict.measurement.provenance == "measured"
    if verdict.measurement.energy_j is None:
        assert verdict.measurement.energy_reason
    else:
        assert verdict.measurement.energy_j.low > 0
