"""The command line, run in the tests' own process."""

from __future__ import annotations

import math
import sys

import pytest

from joulefront import cli


def joulefront(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run a command line; its exit code."""
    monkeypatch.setattr(sys, "argv", ["joulefront", *map(str, arguments)])
    # Other tests work beside this one: no reason to refuse what it measures.
    monkeypatch.setattr("joulefront.bench.validity._MOST_SHARED", math.inf)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)
