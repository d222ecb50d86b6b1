"""Precision, recall and F1 of a classifier, each as one number: the mean over the classes, all of the same weight."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from joulefront.records import Estimate

NAMES = ("precision_error", "recall_error", "f1_error")

_RESAMPLES = 500

Counts = NDArray[np.int64]


def is_classification(outputs: Tensor, targets: Tensor) -> bool:
    """Whether these are scores (n, classes) and class numbers (n,), of which the highest score is to be the target."""
    whole = not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
    if outputs.dim() != 2 or outputs.shape[1] < 2 or targets.shape != outputs.shape[:1] or not whole:
        return False
    return bool(((targets >= 0) & (targets < outputs.shape[1])).all())


def macro_errors(outputs: Tensor, targets: Tensor, perfect: Estimate) -> Mapping[str, Estimate]:
    """1 less the macro average of precision TP / (TP + FP), recall TP / (TP + FN) and F1 2 TP / (2 TP + FP + FN).

    ``outputs`` are scores (n, classes), ``targets`` class numbers (n,). The average is over the classes that occur among
    the targets; a class that is never predicted has the precision 0. The interval is the 95 % percentile bootstrap over
    the examples (Efron 1979), the same for the same predictions. Of a network without a mistake a bootstrap knows
    nothing: ``perfect`` stands in, the estimate of an error of 0 over as many examples.
    """
    predicted, wanted = outputs.argmax(1).numpy(), targets.long().numpy()
    if (predicted == wanted).all():
        return dict.fromkeys(NAMES, perfect)
    # Resampling the examples is to draw how often each pair of classes occurs.
    pairs, counts = np.unique(wanted * outputs.shape[1] + predicted, return_counts=True)
    rows, columns = np.divmod(pairs, outputs.shape[1])
    drawn = np.random.default_rng(0).multinomial(len(wanted), counts / len(wanted), size=_RESAMPLES)
    resampled = np.array([_errors(rows, columns, draw) for draw in drawn])
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    return {
        name: Estimate(float(value), float(min(value, low[at])), float(max(value, high[at])))
        for at, (name, value) in enumerate(zip(NAMES, _errors(rows, columns, counts), strict=True))
    }


def _errors(rows: Counts, columns: Counts, counts: Counts) -> NDArray[np.float64]:
    """NAMES of a confusion matrix whose cells (``rows``: wanted, ``columns``: predicted) hold ``counts``."""
    classes = int(max(rows.max(), columns.max())) + 1
    wanted = np.bincount(rows, counts, classes)
    predicted = np.bincount(columns, counts, classes)
    right = np.bincount(rows, counts * (rows == columns), classes)
    occurs = wanted > 0
    right, wanted, predicted = right[occurs], wanted[occurs], predicted[occurs]
    shares = right / np.maximum(predicted, 1), right / wanted, 2 * right / (wanted + predicted)
    return 1 - np.array([share.mean() for share in shares])
