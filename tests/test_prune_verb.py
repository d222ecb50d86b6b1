"""``joulefront prune``, by what a user types, and the folder that it writes."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from command_line import joulefront
from joulefront.cache import file_sha256
from joulefront.config import Plugin
from joulefront.errors import CompileError, ConfigError
from joulefront.prune_options import plugin, removals
from joulefront.tasks import Task

FAST = ("--epochs", "0.5", "--batch-size", "16")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.relu(self.norm(self.stem(x))).mean((2, 3)))
        return scores


def model() -> nn.Module:
    torch.manual_seed(0)
    return Small()


def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(32, 1, 6, 6, generator=generator), torch.arange(32) % 2)
    return Task(model(), (torch.rand(1, 1, 6, 6, generator=generator),), data, data, data)


def without_data() -> Task:
    return Task(model(), (torch.zeros(1, 1, 6, 6),))


def single() -> Task:
    return Task(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), (torch.zeros(1, 1, 6, 6),))


MODULE = f"{__name__}:task"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rebuilding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The folder's own rebuild.py, as a user imports it there."""
    monkeypatch.syspath_prepend(folder)
    import rebuild  # type: ignore[import-not-found]

    for name in ("rebuild", "pruned_layers"):  # the next one is another folder's
        del sys.modules[name]
    module: ModuleType = rebuild
    return module


def test_the_folder_holds_the_pruned_model_and_how_it_came_about(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("-g", "weight", "-g", "channel", "--ratio", "0.5", "--ratio", "0.25", "--criterion", "l1", *FAST)
    assert joulefront(monkeypatch, "prune", MODULE, *arguments, "--steps", "2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    folder = here / document["out"]
    card = json.loads((folder / "card.json").read_text())
    assert {**card, "out": document["out"]} == document
    assert sorted(card["files"]) == sorted(path.name for path in folder.iterdir() if path.name != "card.json")
    for name, about in card["files"].items():
        assert (file_sha256(folder / name), (folder / name).stat().st_size) == (about["sha256"], about["size_b"])
    assert [step["granularity"] for step in card["steps"]] == ["weight", "weight", "channel", "channel"]
    assert card["widths"] == {"stem": 6}
    assert card["removals"][1]["criterion"] == {"kind": "l1"}
    assert card["removals"][1]["schedule"] == {"kind": "iterative", "steps": 2}
    assert card["pruned"]["params"] < card["unpruned"]["params"]
    assert card["test"]["interval"][0] <= card["test"]["metric"] <= card["test"]["interval"][1]
    assert card["onnx"] == {"file": None, "reason": "it was not asked for (--onnx)"}

    rebuilt = rebuilding(folder, monkeypatch).rebuild(model())
    weight = rebuilt.stem.weight
    assert weight.shape == (6, 1, 3, 3)
    assert float((weight == 0).double().mean()) == pytest.approx(card["sparsity"]["stem"])
    assert rebuilt(torch.rand(2, 1, 6, 6)).shape == (2, 2)


def test_people_read_a_table(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert joulefront(monkeypatch, "prune", MODULE, "--ratio", "0.5", *FAST, "--out", "small") == 0
    shown = capsys.readouterr().out
    for part in ("unpruned", "50.0% of channels", "stem 4", "in pairs (95 % interval", "small: 5 files"):
        assert part in shown, part

    def refused(*_arguments: object, **_more: object) -> None:
        raise CompileError("torch.onnx cannot export the model")

    monkeypatch.setattr("joulefront.export.onnx.as_onnx", refused)
    bare = f"{__name__}:without_data"
    assert joulefront(monkeypatch, "prune", bare, "--ratio", "0.5", "--epochs", "0", "--onnx") == 0
    shown = capsys.readouterr().out
    for part in (
        "not judged",
        "none: the task has no test split",
        "warning    there is no ONNX file: torch.onnx cannot",
    ):
        assert part in shown, part


def test_nothing_is_overwritten_and_nothing_half_written_is_left(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine").mkdir()
    assert joulefront(monkeypatch, "prune", MODULE, "--ratio", "0.5", "--out", "mine") == 2
    assert "mine exists: give another folder with --out" in capsys.readouterr().err

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("joulefront.export.folder.os.fsync", full)
    assert joulefront(monkeypatch, "prune", MODULE, "--ratio", "0.5", *FAST, "--out", "new") == 3
    assert "new cannot be written: No space left on device; make room" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--ratio", "1.2"), "--ratio: expected a share above 0 and below 1, not 1.2"),
        (("--ratio", "0.5", "--criterion", "tailor"), "--criterion unknown kind 'tailor'; did you mean 'taylor'?"),
        (("--ratio", "0.5", "--criterion", "{knd = 1}"), "--criterion {knd = 1}: expected a kind in the table"),
        (
            ("--criterion", "{kind = 'relative-threshold', cutof = 0.1}"),
            "cutof: unknown key for kind 'relative-threshold'",
        ),
        (
            ("--ratio", "0.5", "--schedule", "adaptive"),
            "--schedule adaptive needs the least accuracy that is good enough: --floor-accuracy 0.9",
        ),
        (("--ratio", "0.5", "-g", "head"), "the model has no attention heads that can be pruned"),
        (("--ratio", "0.5", "--group", "stem"), "--group stem: expected NAME=SHARE"),
    ],
)
def test_a_mistake_is_one_message(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    assert joulefront(monkeypatch, "prune", MODULE, *arguments) == 2
    shown = capsys.readouterr()
    assert reason in shown.err.replace("\n", " ")
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert list(here.iterdir()) == []


def test_widths_that_cannot_be_drawn_are_told_before_anything_is_pruned(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ("prune", f"{__name__}:single", "--granularity", "weight", "--ratio", "0.5", "--epochs", "0")
    assert joulefront(monkeypatch, *weights, "--figure", "widths.svg") == 2
    assert "widths.svg: no layer has channels that can be cut" in capsys.readouterr().err
    assert list(here.iterdir()) == []


OPTIONS = {
    "granularity": ("weight", "channel"),
    "ratio": (0.5,),
    "of": ("units",),
    "scope": ("uniform", "global"),
    "criterion": (),
    "schedule": (),
    "group": (),
    "exclude": ("head",),
    "multiple": 8,
    "floor": None,
    "steps": None,
    "floor_accuracy": None,
}


def test_options_are_for_all_granularities_or_for_each() -> None:
    first, second = removals(OPTIONS)
    assert (first.granularity, first.ratio, first.scope, first.multiple) == ("weight", 0.5, "uniform", 1)
    assert (second.granularity, second.ratio, second.scope, second.multiple) == ("channel", 0.5, "global", 8)
    weights, blocks = removals({**OPTIONS, "granularity": ("weight", "block"), "floor": 0.5})
    assert weights.multiple == blocks.multiple == 8  # no one's, so that whoever prunes refuses them
    assert weights.floor == blocks.floor == 0.5
    assert second.exclude == ("head",)
    assert second.schedule == Plugin(kind="one-shot")
    floored = removals({**OPTIONS, "floor_accuracy": 0.9, "schedule": ("{kind = 'adaptive', step = 0.1}",)})
    assert floored[0].schedule == Plugin(kind="adaptive", step=0.1, floor=0.9)
    assert removals({**OPTIONS, "floor_accuracy": 0.9})[0].schedule == Plugin(kind="iterative", floor=0.9)
    assert plugin("mine.py:Own", "--criterion") == Plugin(kind="mine.py:Own")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"ratio": (0.1, 0.2, 0.3)}, "--ratio: given 3 times for 2 granularities"),
        ({"group": ("stem=0.5",)}, "--group goes with a single --granularity"),
        ({"steps": 3, "schedule": ("gradual",)}, "--steps is of the schedule iterative, not gradual"),
        (
            {"floor_accuracy": 0.9, "schedule": ("one-shot",)},
            "--floor-accuracy is of the schedules iterative and adaptive",
        ),
        ({"floor_accuracy": 95.0}, "--floor-accuracy 95: no network can reach that"),
        ({"steps": 3, "schedule": ("{kind = 'iterative', steps = 2}",)}, "steps is given twice"),
        ({"schedule": ("{kind = ",)}, "not valid TOML"),
        ({"criterion": ("",)}, "expected a name"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        removals({**OPTIONS, **given})
