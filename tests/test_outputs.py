"""Outputs: the graph's arrays to the answer's JSON."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import BundleError
from service.outputs import Anomaly, Classification, Detection, Embedding, Multilabel, Regression, Weights
from service.types import Asked


def array(numbers: Sequence[float] | Sequence[list[float]]) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


SCORES = st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=20)


def classification(count: int, activation: str = "none") -> Classification:
    labels = [f"label {i}" for i in range(count)]
    return Classification.model_validate({"tensor": "scores", "labels": labels, "activation": activation})


@given(SCORES, st.sampled_from(["none", "softmax", "sigmoid"]), st.none() | st.integers(1, 30))
def test_labels_come_best_first_with_their_own_scores(scores: list[float], activation: str, top_k: int | None) -> None:
    answer = classification(len(scores), activation).decode({"scores": array(scores)}, asked=Asked(top_k))
    top = answer["top"]
    assert len(top) == min(5 if top_k is None else top_k, len(scores))
    assert (answer["label"], answer["score"]) == (top[0]["label"], top[0]["score"])
    every = classification(len(scores), activation).decode({"scores": array(scores)}, asked=Asked(len(scores)))["top"]
    assert top[0]["label"] == f"label {int(np.argmax(array(scores)))}" or every[0]["score"] == every[1]["score"]
    values = [entry["score"] for entry in top]
    assert values == sorted(values, reverse=True)
    assert all(np.isfinite(values))


@given(SCORES)
def test_softmax_sums_to_one_and_sigmoid_stays_within_it(scores: list[float]) -> None:
    row = {"scores": array(scores)}
    softmax = classification(len(scores), "softmax").decode(row, asked=Asked(100))["top"]
    assert sum(entry["score"] for entry in softmax) == pytest.approx(1, abs=1e-5)
    sigmoid = classification(len(scores), "sigmoid").decode(row, asked=Asked(100))["top"]
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


def test_over_the_threshold_is_a_label_each_with_its_own() -> None:
    output = Multilabel(tensor="scores", labels=["a", "b", "c"], activation="none", threshold=[0.5, 0.1, 0.9])
    row = {"scores": array([0.4, 0.2, 0.8])}
    assert output.decode(row)["labels"] == [{"label": "b", "score": float(np.float32(0.2))}]
    assert [entry["label"] for entry in output.decode(row, asked=Asked(threshold=0.3))["labels"]] == ["c", "a"]
    assert [entry["label"] for entry in output.decode(row, asked=Asked(top_k=2))["top"]] == ["c", "a"]
    with pytest.raises(ValueError, match="1 thresholds for 2 labels"):
        Multilabel(tensor="scores", labels=["a", "b"], threshold=[0.5])


def test_a_number_is_scaled_back_with_its_interval() -> None:
    output = Regression(tensor="y", interval="range", unit="mmHg", scale=-10, offset=100)
    answer = output.decode({"y": array([2]), "range": array([1, 3])})
    assert answer == {"value": 80, "unit": "mmHg", "interval": [70, 90]}


def test_several_numbers_have_names() -> None:
    output = Regression(tensor="y", interval="range", names=["a", "b"])
    answer = output.decode({"y": array([1, 2]), "range": array([0, 2, 1, 3])})
    assert answer == {"values": {"a": 1, "b": 2}, "intervals": {"a": [0, 2], "b": [1, 3]}}
    with pytest.raises(BundleError, match="3 values"):
        output.check({"y": [None, 3], "range": [None, 6]})


def test_polynomials_stand_on_top_of_a_graphs_values() -> None:
    """Those of DNSMOS P.835 (Reddy et al., 2022): signal, background, overall."""
    signal, background, overall = (
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    )
    output = Regression(tensor="y", names=["SIG", "BAK", "OVRL"], unit="MOS", polynomial=[signal, background, overall])
    answer = output.decode({"y": array([3.0, 4.0, 2.5])})
    assert answer["unit"] == "MOS"
    expected = {
        "SIG": -0.08397278 * 9 + 1.22083953 * 3 + 0.0052439,
        "BAK": -0.13166888 * 16 + 1.60915514 * 4 - 0.39604546,
        "OVRL": -0.06766283 * 6.25 + 1.11546468 * 2.5 + 0.04602535,
    }
    assert answer["values"] == pytest.approx(expected)
    assert output.scalars({"y": array([3.0, 4.0, 2.5])}) == pytest.approx(expected)


def test_one_polynomial_is_that_of_all_values_and_of_their_intervals() -> None:
    output = Regression(tensor="y", interval="i", names=["a", "b"], polynomial=[[2.0, 0.0, 1.0]], scale=10, offset=1)
    answer = output.decode({"y": array([1.0, 2.0]), "i": array([[0.0, 2.0], [1.0, 3.0]])})
    assert answer["values"] == {"a": 31, "b": 91}
    assert answer["intervals"] == {"a": [11, 91], "b": [31, 191]}
    one = Regression(tensor="y", interval="i", polynomial=[[1.0, 1.0]])
    assert one.decode({"y": array([1.0]), "i": array([0.0, 3.0])}) == {"value": 2, "interval": [1, 4]}


def test_polynomials_are_counted() -> None:
    with pytest.raises(ValueError, match="polynomial: 2 of them for 3 values"):
        Regression(tensor="y", names=["a", "b", "c"], polynomial=[[1.0], [1.0]])


def test_an_anomaly_is_over_its_threshold() -> None:
    output = Anomaly(tensor="error", threshold=0.5)
    assert output.decode({"error": array([0.75])}) == {"score": 0.75, "threshold": 0.5, "anomalous": True}
    assert output.decode({"error": array([0.75])}, asked=Asked(threshold=1))["anomalous"] is False


@given(st.integers(1, 5), st.integers(0, 4), st.sampled_from(["mean", "max", "cls"]))
def test_padding_does_not_count_in_a_pooled_embedding(tokens: int, padding: int, pooling: str) -> None:
    output = Embedding.model_validate({"tensor": "hidden", "pooling": pooling, "mask": "mask", "normalize": True})
    hidden = np.random.default_rng(tokens).normal(size=(tokens, 3)).astype(np.float32)
    mask = np.ones(tokens, np.int64)
    alone = output.vector({"hidden": hidden, "mask": mask}, "hidden")
    padded = np.concatenate([hidden, np.full((padding, 3), 99, np.float32)])
    assert np.array_equal(output.vector({"hidden": padded, "mask": mask}, "hidden"), alone)
    more = np.concatenate([mask, np.zeros(padding, np.int64)])
    assert np.allclose(output.vector({"hidden": padded, "mask": more}, "hidden"), alone)
    assert np.linalg.norm(alone) == pytest.approx(1)


def test_each_part_that_was_used_has_its_embedding() -> None:
    output = Embedding(parts={"image": "i", "text": "t"})
    row = {"i": array([1]), "t": array([2])}
    assert output.decode(row, ["text"]) == {"embedding": {"text": [2]}}
    with pytest.raises(ValueError, match="tensor"):
        Embedding()


BOXES = {  # one box of a 40 x 20 picture, in each form, as shares
    "xyxy": [0.25, 0.1, 0.75, 0.5],
    "cxcywh": [0.5, 0.3, 0.5, 0.4],
    "xywh": [0.25, 0.1, 0.5, 0.4],
    "yxyx": [0.1, 0.25, 0.5, 0.75],
}


def detection(**given: object) -> Detection:
    fixed = {"pixels": "x", "boxes": "boxes", "scores": "scores", "labels": ["cat", "dog"]}
    return Detection.model_validate(fixed | given)


def seen(boxes: list[list[float]], scores: list[list[float]]) -> dict[str, NDArray[np.float32]]:
    """A picture of 40 x 20 that was made half as large and put 5 down from the top of 3 x 20 x 20."""
    frame = np.array([0, 5, 0.5, 0.5, 40, 20])
    return {"boxes": array(boxes), "scores": array(scores), "x": np.zeros((3, 20, 20), np.float32), "x:frame": frame}


@pytest.mark.parametrize("form", BOXES)
def test_boxes_of_every_form_land_in_the_original_picture(form: str) -> None:
    row = seen([BOXES[form]], [[0.1, 0.9]])
    found = detection(format=form, unit="picture").decode(row)["detections"]
    assert [(entry["label"], entry["score"]) for entry in found] == [("dog", float(np.float32(0.9)))]
    assert found[0]["box"] == pytest.approx([10, 2, 30, 10], rel=1e-6)


def test_shares_and_pixels_of_the_input_are_the_same_place() -> None:
    shares = detection(unit="input").decode(seen([[0.25, 0.5, 0.5, 0.75]], [[1, 0]]))["detections"]
    pixels = detection(unit="pixels").decode(seen([[5, 10, 10, 15]], [[1, 0]]))["detections"]
    assert shares == pixels
    assert shares[0]["box"] == [10, 10, 20, 20]


def test_boxes_end_at_the_picture() -> None:
    found = detection().decode(seen([[-9, -9, 99, 99]], [[1, 0]]))["detections"]
    assert found[0]["box"] == [0, 0, 40, 20]


def test_of_boxes_that_overlap_the_best_of_each_label_stays() -> None:
    row = seen(
        [[0, 5, 10, 15], [0, 5, 10, 14], [0, 5, 10, 15], [10, 5, 20, 15]], [[0.8, 0], [0.9, 0], [0, 0.7], [0.6, 0]]
    )
    found = detection(nms=0.5).decode(row)["detections"]
    assert [(entry["label"], round(entry["score"], 1)) for entry in found] == [("cat", 0.9), ("dog", 0.7), ("cat", 0.6)]
    assert len(detection().decode(row)["detections"]) == 4
    assert len(detection(most=1).decode(row)["detections"]) == 1
    assert len(detection().decode(row, asked=Asked(threshold=0.75))["detections"]) == 2


def test_the_background_is_no_detection() -> None:
    row = seen([[0, 5, 10, 15], [0, 5, 10, 15]], [[0, 1, 9], [0, 9, 1]])
    output = detection(activation="softmax", background=-1)
    found = output.decode(row)["detections"]
    assert [entry["label"] for entry in found] == ["dog"]
    output.check({"boxes": [None, None, 4], "scores": [None, None, 3]})
    with pytest.raises(BundleError, match="4 classes"):
        output.check({"boxes": [None, None, 4], "scores": [None, None, 4]})


def test_classes_may_come_as_numbers() -> None:
    row = seen([[0, 5, 10, 15]], [[0.9]]) | {"classes": array([1])}
    assert detection(classes="classes").decode(row)["detections"][0]["label"] == "dog"


def test_nothing_seen_is_an_empty_list() -> None:
    empty = np.zeros((0, 4), np.float32)
    row = seen([], []) | {"boxes": empty, "scores": np.zeros((0, 2), np.float32)}
    assert detection(nms=0.5).decode(row) == {"detections": []}
