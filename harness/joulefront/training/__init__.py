"""Retraining and judging a model on a task: the loop that the base models and every pruned candidate share.

Everything here is deterministic in its arguments and the seed, for a given number of torch threads, precision and device.
"""

from joulefront.training.batch_norm import recalibrate
from joulefront.training.data import load_batch
from joulefront.training.device import Device, Precision, identity_of, resolve_device, resolve_precision
from joulefront.training.identity import data_sha256
from joulefront.training.judging import Predictions, evaluate, predict, score_of, wilson
from joulefront.training.loop import fit, one_cycle
from joulefront.training.paired import accuracy_change
from joulefront.training.recovery import recover
from joulefront.training.seeds import seeded
from joulefront.training.zeros import Masks

__all__ = [
    "Device",
    "Masks",
    "Precision",
    "Predictions",
    "accuracy_change",
    "data_sha256",
    "evaluate",
    "fit",
    "identity_of",
    "load_batch",
    "one_cycle",
    "predict",
    "recalibrate",
    "recover",
    "resolve_device",
    "resolve_precision",
    "score_of",
    "seeded",
    "wilson",
]
