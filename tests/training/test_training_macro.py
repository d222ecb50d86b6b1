"""Precision, recall and F1, by hand; and how often their intervals hold the truth."""

import numpy as np
import pytest
import torch

from joulefront.records import Estimate
from joulefront.training.macro import NAMES, is_classification, macro_errors

PERFECT = Estimate(0.0, 0.0, 0.01)


def errors(wanted, predicted, classes=3):
    outputs = torch.nn.functional.one_hot(torch.tensor(predicted), classes).float()
    return macro_errors(outputs, torch.tensor(wanted), PERFECT)


def test_the_averages_by_hand():
    found = errors([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 0, 2, 2])
    precision = (3 / 4 + 1 / 2 + 1) / 3
    recall = (3 / 4 + 1 / 2 + 1) / 3
    assert found["precision_error"].value == pytest.approx(1 - precision)
    assert found["recall_error"].value == pytest.approx(1 - recall)
    assert found["f1_error"].value == pytest.approx(1 - (3 / 4 + 1 / 2 + 1) / 3)
    uneven = errors([0, 0, 0, 1], [0, 1, 1, 1])
    assert {name: round(one.value, 9) for name, one in uneven.items()} == {
        "precision_error": round(1 - (1 + 1 / 3) / 2, 9),
        "recall_error": round(1 - (1 / 3 + 1) / 2, 9),
        "f1_error": round(1 - (2 / 4 + 2 / 4) / 2, 9),  # 2 TP / (2 TP + FP + FN), not the mean of the two above
    }


def test_only_classes_that_occur_count_and_one_that_is_never_predicted_is_wrong():
    found = errors([0, 0, 1, 1], [0, 2, 0, 2])  # 2 never occurs, 1 is never predicted
    assert found["precision_error"].value == pytest.approx(1 - (1 / 2 + 0) / 2)
    assert found["recall_error"].value == pytest.approx(1 - (1 / 2 + 0) / 2)
    assert found["f1_error"].value == pytest.approx(1 - (2 / 4 + 0) / 2)


def test_the_interval_is_the_same_each_time_and_a_network_without_a_mistake_has_one_too():
    wanted, predicted = [0, 1, 2] * 20, [0, 1, 2] * 18 + [1, 2, 0] * 2
    one, again = errors(wanted, predicted), errors(wanted, predicted)
    assert one == again
    assert all(one[name].low < one[name].value < one[name].high for name in NAMES)
    assert errors(wanted, wanted) == dict.fromkeys(NAMES, PERFECT)


def test_the_intervals_hold_the_truth():
    random, classes, right = np.random.default_rng(3), 4, 0.9
    covered = np.zeros(len(NAMES))
    for _ in range(40):
        wanted = random.integers(0, classes, 200)
        other = (wanted + random.integers(1, classes, 200)) % classes
        found = errors(wanted, np.where(random.random(200) < right, wanted, other), classes)
        covered += [found[name].low <= 1 - right <= found[name].high for name in NAMES]
    assert (covered >= 0.85 * 40).all()


@pytest.mark.parametrize(
    ("outputs", "targets", "is_one"),
    [
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, 2]), True),
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, 2], dtype=torch.uint8), True),
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]), False),
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, -100]), False),
        (torch.zeros(4, 1), torch.tensor([0, 0, 0, 0]), False),
        (torch.zeros(4, 3), torch.zeros(4), False),
        (torch.zeros(4, 3), torch.zeros(4, 3), False),
        (torch.zeros(4, 3, 8), torch.zeros(4, 8).long(), False),
        (torch.zeros(4, 3), torch.zeros(4, dtype=torch.bool), False),
    ],
)
def test_what_a_classifier_is(outputs, targets, is_one):
    assert is_classification(outputs, targets) is is_one


def test_class_numbers_of_few_bits_do_not_overflow():
    wanted = torch.arange(200, dtype=torch.uint8)
    outputs = torch.nn.functional.one_hot(wanted.long().roll(1), 200).float()
    assert macro_errors(outputs, wanted, PERFECT)["recall_error"].value == 1.0
