"""Outputs: the graph's arrays to the answer's JSON."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import BundleError
from service.outputs import Classification, Weights


def array(numbers: list[float]) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


SCORES = st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=20)


def classification(count: int, activation: str = "none") -> Classification:
    labels = [f"label {i}" for i in range(count)]
    return Classification.model_validate({"tensor": "scores", "labels": labels, "activation": activation})


@given(SCORES, st.sampled_from(["none", "softmax", "sigmoid"]), st.none() | st.integers(1, 30))
def test_labels_come_best_first_with_their_own_scores(scores: list[float], activation: str, top_k: int | None) -> None:
    answer = classification(len(scores), activation).decode({"scores": array(scores)}, top_k)
    top = answer["top"]
    assert len(top) == min(5 if top_k is None else top_k, len(scores))
    assert (answer["label"], answer["score"]) == (top[0]["label"], top[0]["score"])
    assert top[0]["label"] == f"label {int(np.argmax(array(scores)))}" or top[0]["score"] == top[1]["score"]
    values = [entry["score"] for entry in top]
    assert values == sorted(values, reverse=True)
    assert all(np.isfinite(values))


@given(SCORES)
def test_softmax_sums_to_one_and_sigmoid_stays_within_it(scores: list[float]) -> None:
    row = {"scores": array(scores)}
    softmax = classification(len(scores), "softmax").decode(row, 100)["top"]
    assert sum(entry["score"] for entry in softmax) == pytest.approx(1, abs=1e-5)
    sigmoid = classification(len(scores), "sigmoid").decode(row, 100)["top"]
    assert all(0 <= entry["score"] <= 1 for entry in sigmoid)


def test_scores_are_never_rounded() -> None:
    score = float(np.float32(0.123456789))
    assert classification(2).decode({"scores": array([score, 0])})["score"] == score


def test_equal_scores_keep_the_order_of_the_manifest() -> None:
    top = classification(4).decode({"scores": array([0, 1, 1, 1])})["top"]
    assert [entry["label"] for entry in top] == ["label 1", "label 2", "label 3", "label 0"]


def test_labels_must_fit_the_last_axis_if_it_is_known() -> None:
    classification(3).check({"scores": [None, 3]})
    classification(3).check({"scores": [None, None]})
    with pytest.raises(BundleError, match="'scores' has 4 classes, the manifest 3 labels"):
        classification(3).check({"scores": [None, 4]})


def test_weights_are_numbers_in_the_order_of_the_parts() -> None:
    assert Weights(tensor="share").decode({"share": array([0.25, 0, 0.75])}) == [0.25, 0, 0.75]
