"""The literature's CNN for MNIST as a user's task: on a fifth of MNIST-5k held out, and on Fashion-MNIST."""

import dataclasses

import torch
from torch.utils.data import TensorDataset

from joulefront import training
from joulefront.protocols import Task as AnyTask
from joulefront.tasks import Task, models
from joulefront.tasks.base_model import trained_once
from joulefront.tasks.images import ShiftedImages, stratified
from joulefront.tasks.ready_made import MNIST_MEAN, MNIST_STD, mnist5k
from joulefront.tasks.ready_made import fashion_mnist as ready_made_fashion

FOLDS = 5


def fashion_mnist() -> AnyTask:
    """The CNN on Fashion-MNIST, judged at last by its 10,000 test images."""
    return ready_made_fashion("cnn")


def mnist_fold(fold: int) -> AnyTask:
    """The CNN on MNIST-5k without the ``fold``-th fifth, which is the test split: trained on 3,200 images, judged by 800.

    The five folds' test splits are all 5,000 images, each once.
    """
    parts = mnist5k("cnn")
    assert isinstance(parts.train, ShiftedImages)
    assert isinstance(parts.validation, TensorDataset)
    assert isinstance(parts.test, TensorDataset)
    margin = parts.train.pixels
    shown = parts.train._padded[:, :, margin:-margin, margin:-margin]
    images = torch.cat([shown, parts.validation.tensors[0], parts.test.tensors[0]])
    labels = torch.cat([parts.train.labels, parts.validation.tensors[1], parts.test.tensors[1]])
    fifths = stratified(labels, [len(labels) // FOLDS] * FOLDS, seed=0)
    rest = torch.cat([fifth for index, fifth in enumerate(fifths) if index != fold])
    validation, train = (rest[part] for part in stratified(labels[rest], (800, 3200), seed=fold))
    splits = [TensorDataset(images[part], labels[part]) for part in (validation, fifths[fold])]
    model = models.by_name["cnn"]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fold)
        model.apply(lambda layer: layer.reset_parameters() if hasattr(layer, "reset_parameters") else None)
    task = Task(
        model,
        images[:1].clone(),
        ShiftedImages(images[train], labels[train], pixels=2, background=-MNIST_MEAN / MNIST_STD),
        *splits,
    )
    recipe = {"epochs": 12.0, "learning_rate": 0.05, "batch_size": 64}
    precision = training.resolve_precision("auto")
    trained_once(
        model,
        f"mnist-fold-{fold}",
        lambda fresh: training.fit(fresh, task, **recipe, seed=fold, precision=precision),  # type: ignore[arg-type]
        data=[training.data_sha256(split) for split in splits],
        recipe=recipe,
        precision=precision,
    )
    model.eval()
    return dataclasses.replace(task, model=model)
