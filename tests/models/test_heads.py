"""Heads: losses leave out what is not known, numbers come back in their units, intervals hold, anomalies stand out."""

import math
from collections.abc import Callable

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional

from models.encoders.audio import AudioCnnSpec
from models.encoders.image import ImageCnnSpec
from models.heads import Head
from models.heads.classify import Calibrated, ClassificationSpec, MultilabelSpec
from models.heads.embed import EmbeddingSpec, contrast
from models.heads.reconstruct import AnomalySpec, Autoencoder, fields, frames, words
from models.heads.regress import RegressionSpec
from tests.models import graphs

NAN = float("nan")
WIDTH = 6


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def steps(parameters: list[nn.Parameter], loss: Callable[[], Tensor], count: int, rate: float = 0.02) -> list[float]:
    optimizer, losses = torch.optim.Adam(parameters, rate), []
    for _ in range(count):
        value = loss()
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
        losses.append(value.item())
    return losses


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression", "embedding", "anomaly"])
def test_a_recipe_names_a_head_by_its_kind(kind: str) -> None:
    assert TypeAdapter(Head).validate_python({"kind": kind}).kind == kind


def test_a_row_without_a_class_does_not_count() -> None:
    head = ClassificationSpec(smoothing=0.1).build(WIDTH, 3)
    logits = torch.randn(4, 3)
    labels = torch.tensor([0, -1, 2, -1])
    expected = functional.cross_entropy(logits[::2], labels[::2], label_smoothing=0.1)
    assert torch.allclose(head.loss(logits, labels), expected)
    assert head.loss(logits, torch.full((4,), -1)) == 0


def test_two_classes_share_one_logit() -> None:
    head, calibrated = ClassificationSpec(dropout=0).build(WIDTH, 2), Calibrated(1)
    assert head.linear.out_features == 1
    h, labels = torch.randn(8, WIDTH), torch.tensor([0, 1] * 4)
    z = head.linear(h)[:, 0]
    expected = functional.binary_cross_entropy_with_logits(z, labels.float())
    assert torch.allclose(head.loss(head(h), labels), expected)
    calibrated.temperature[1] = 2
    p = calibrated(head(h), torch.ones(8, 1))
    assert torch.allclose(p, torch.stack((1 - (z / 2).sigmoid(), (z / 2).sigmoid()), 1), atol=1e-6)


def test_balanced_classes_weigh_the_same_in_sum() -> None:
    head = ClassificationSpec(balanced=True).build(WIDTH, 3)
    labels = torch.tensor([0] * 6 + [1] * 2 + [2] * 1 + [-1] * 5)
    head.fit(labels)
    sums = [float(head.weight[c] * (labels == c).sum()) for c in range(3)]
    assert sums == pytest.approx([3, 3, 3])


def test_labels_are_trained_where_they_are_known() -> None:
    head = MultilabelSpec(dropout=0).build(WIDTH, 3)
    h = torch.randn(64, WIDTH)
    labels = (h[:, :3] > 0).float()
    labels[::3, 0] = NAN
    losses = steps(list(head.parameters()), lambda: head.loss(head(h), labels), 80)
    assert losses[-1] < losses[0] / 2
    assert head.loss(head(h), torch.full((64, 3), NAN)) == 0
    spoiled = labels.clone()
    spoiled[0, 0] = 1  # it was NAN: now it counts
    assert head.loss(head(h), spoiled) != head.loss(head(h), labels)


def test_a_rare_label_weighs_more() -> None:
    head = MultilabelSpec(balanced=True).build(WIDTH, 3)
    head.fit(torch.tensor([[1.0, 0, NAN], [0, 1, 0], [0, 1, 1], [0, 1, 0]]))
    assert head.weight.tolist() == pytest.approx([3, 1 / 3, 2])


def test_probabilities_of_labels_are_each_their_own() -> None:
    calibrated, logits = Calibrated(2, "sigmoid"), torch.tensor([[2.0, -1], [2, -1]])
    calibrated.temperature[3] = 2
    p = calibrated(logits, torch.tensor([[1.0, 0], [1, 1]]))
    assert torch.allclose(p[0], logits[0].sigmoid())
    assert torch.allclose(p[1], (logits[1] / 2).sigmoid())


def weights_and_ages(count: int) -> tuple[Tensor, Tensor]:
    """(N, WIDTH) and kilograms and years: linear, with noise that grows with the last dimension."""
    h = torch.randn(count, WIDTH)
    noise = torch.randn(count) * (0.2 + h[:, 5].abs())
    return h, torch.stack((70 + 10 * (h[:, 0] + noise), 2000 - 3 * h[:, 1]), 1)


@pytest.mark.parametrize("variance", [False, True])
def test_numbers_come_back_in_their_units_within_their_intervals(variance: bool) -> None:
    head = RegressionSpec(variance=variance, dropout=0, coverage=0.8).build(WIDTH, 2)
    net = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, WIDTH))
    h, y = weights_and_ages(400)
    y[::5, 1] = NAN
    head.fit(y)
    steps([*net.parameters(), *head.parameters()], lambda: head.loss(head(net(h)), y), 300)
    head.eval()
    with torch.no_grad():
        unseen, truth = weights_and_ages(400)
        head.calibrate(head(net(unseen)), truth)
        h, y = weights_and_ages(1000)
        value, interval = head.served(head(net(h)))
    assert value.shape == (1000, 2)
    assert interval.shape == (1000, 2, 2)
    assert (value[:, 1] - y[:, 1]).abs().mean() < 1.5
    inside = ((interval[..., 0] <= y) & (y <= interval[..., 1])).float().mean(0)
    assert (inside - 0.8).abs().max() < 0.08
    if variance:  # the interval is wide where the noise is
        wide = interval[:, 0, 1] - interval[:, 0, 0]
        assert wide[h[:, 5].abs() > 1.5].mean() > 1.5 * wide[h[:, 5].abs() < 0.3].mean()


def test_targets_that_are_not_known_do_not_count() -> None:
    head = RegressionSpec().build(WIDTH, 2)
    raw, y = torch.randn(3, 4), torch.tensor([[1.0, NAN], [NAN, 2], [0, 0]])
    others = torch.where(y.isnan(), 0, y)
    mean, s = head.split(raw)
    each = (((others - mean) / s) ** 2 / 2 + s.log())[~y.isnan()]
    assert torch.allclose(head.loss(raw, y), each.mean())
    assert head.loss(raw, torch.full((3, 2), NAN)) == 0


def test_a_constant_target_is_no_division_by_zero() -> None:
    head = RegressionSpec().build(WIDTH, 2)
    head.fit(torch.tensor([[5.0, NAN], [5, NAN]]))
    assert head.mean.tolist() == [5, 0]
    assert head.std.tolist() == [1, 1]


def test_too_few_targets_tell_no_interval() -> None:
    head = RegressionSpec(coverage=0.9).build(WIDTH, 1)
    with pytest.raises(ValueError, match="8 targets cannot tell intervals of 90%: 9 can"):
        head.calibrate(torch.zeros(8, 2), torch.zeros(8, 1))
    head.calibrate(torch.zeros(9, 2), torch.arange(9.0)[:, None])
    assert head.reach.tolist() == [8]


def test_regression_serves_the_same_from_its_graph() -> None:
    class Served(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = RegressionSpec().build(WIDTH, 2)
            self.head.fit(torch.rand(20, 2) * 10)

        def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
            return self.head.served(self.head(h))

    assert graphs.difference(Served(), [[torch.randn(n, WIDTH)] for n in (2, 1, 5)], {0: [0]}) < 1e-5


def test_contrast_is_the_cross_entropy_of_finding_ones_partner() -> None:
    a = functional.normalize(torch.randn(5, 4), dim=1)
    assert contrast(a, a, torch.tensor(100.0)) < 0.1
    chance = contrast(a, torch.zeros_like(a), torch.tensor(100.0))
    assert chance.item() == pytest.approx(math.log(5))


def test_rows_of_one_group_are_not_held_against_each_other() -> None:
    a = functional.normalize(torch.randn(3, 4), dim=1)
    twice = torch.cat((a, a))
    groups = torch.tensor([0, 1, 2, 0, 1, 2])
    scale = torch.tensor(5.0)
    assert torch.allclose(contrast(twice, twice, scale, groups), each_against(a), atol=1e-5)
    assert contrast(twice, twice, scale) > contrast(twice, twice, scale, groups)


def each_against(a: Tensor) -> Tensor:
    """What is left for each row of two equal halves: itself, and two each of the two other groups."""
    scores = (5 * a @ a.T).exp()
    right = scores.diagonal()
    return -(right / (2 * scores.sum(1) - right)).log().mean()


def test_partners_learn_to_find_each_other() -> None:
    head = EmbeddingSpec(dimensions=8).build(3, WIDTH)
    meaning, bases = torch.randn(48, WIDTH), torch.randn(3, WIDTH, WIDTH)
    hidden = torch.stack([meaning @ base for base in bases], 1)
    present = torch.ones(48, 3)
    present[::4, 0], present[1::4, 2] = 0, 0
    losses = steps(list(head.parameters()), lambda: head.loss(head(hidden), present), 150)
    assert losses[-1] < losses[0] / 3
    assert head.scale.grad is not None
    with torch.no_grad():
        vectors = head(hidden)
    assert torch.allclose(vectors.norm(dim=2), torch.ones(48, 3), atol=1e-5)
    found = (vectors[:, 1] @ vectors[:, 2].T).argmax(1)
    assert (found == torch.arange(48)).float().mean() > 0.8


def test_an_absent_parts_vector_trains_nothing_and_joins_nothing() -> None:
    head = EmbeddingSpec().build(2, WIDTH)
    vectors = head(torch.randn(3, 2, WIDTH))
    nothing = torch.where(torch.tensor([[True], [False]]), vectors, NAN)
    alone = torch.tensor([[1.0, 0]]).expand(3, 2)
    assert head.loss(nothing.nan_to_num(), alone) == 0
    assert torch.allclose(head.joined(nothing, alone), vectors[:, 0])
    assert (head.joined(vectors, torch.zeros(3, 2)) == 0).all()


def test_vectors_are_the_same_from_the_graph() -> None:
    batches = [[torch.randn(n, 2, WIDTH)] for n in (2, 1, 5)]
    assert graphs.difference(EmbeddingSpec().build(2, WIDTH), batches, {0: [0]}) < 1e-5


def plane(count: int) -> Tensor:
    return torch.randn(count, 2) @ torch.tensor([[1.0, 2, 0, 0, 1, 1], [0, 1, 1, -1, 0, 2]])


def test_what_leaves_the_plane_of_training_is_an_anomaly() -> None:
    net, h = AnomalySpec(code=2, inner=32).build(WIDTH), plane(256).requires_grad_()
    net.fit(h)
    losses = steps(list(net.parameters()), lambda: net.loss(h), 200, 0.01)
    assert losses[-1] < losses[0] / 5
    assert h.grad is None  # what is rebuilt is not trained to be easy
    with torch.no_grad():
        same, other = net(plane(200)), net(plane(200) + torch.tensor([0, 0, 0, 3.0, 3, 0]))
    assert (other[:, None] > same).float().mean() > 0.95  # AUROC
    assert graphs.difference(net, [[plane(2)], [plane(5)]], {0: [0]}) < 1e-5


def test_an_encoder_of_sounds_is_trained_without_labels() -> None:
    encoder = AudioCnnSpec(channels=[4, 8]).build(10, WIDTH)
    net = Autoencoder(encoder, WIDTH, lambda x, m: frames(x, m, 3), 30, 32)
    tilt = torch.randn(32, 1, 1) * torch.linspace(-1, 1, 10)[:, None]
    x, mask = tilt + 0.1 * torch.randn(32, 10, 20), torch.ones(32, 20)
    mask[::2, 12:] = 0
    net.fit(x, mask)
    losses = steps(list(net.parameters()), lambda: net.loss(x, mask), 80)
    assert losses[-1] < losses[0] / 2
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in encoder.parameters())
    batches = [(x[:2], mask[:2]), (x[:1, :, :3], mask[:1, :3]), (x[:5, :, :9], mask[:5, :9])]
    assert graphs.difference(net, batches, {0: [0, 2], 1: [0, 1]}) < 1e-5
    longer = torch.cat((x, torch.randn(32, 10, 7)), 2), torch.cat((mask, torch.zeros(32, 7)), 1)
    with torch.no_grad():
        assert (net(*longer) - net(x, mask)).abs().max() < 1e-4


def test_an_encoder_of_pictures_is_trained_without_labels() -> None:
    net = Autoencoder(ImageCnnSpec(channels=[4]).build(1, WIDTH), WIDTH, lambda x: fields(x, 2), 4, 16)
    pixels = torch.rand(32, 1, 1, 1) * torch.ones(32, 1, 8, 8)
    pixels[:, :, :4] *= torch.rand(32, 1, 1, 1)
    net.fit(pixels)
    losses = steps(list(net.parameters()), lambda: net.loss(pixels), 60)
    assert losses[-1] < losses[0] / 2


def test_summaries_say_what_is_there() -> None:
    x = torch.arange(6.0).reshape(1, 1, 6)
    assert frames(x, torch.ones(1, 6), 3).tolist() == [[0.5, 2.5, 4.5]]
    assert frames(x, torch.tensor([[1.0, 1, 1, 0, 0, 0]]), 3).tolist() == [[0, 1, 2]]
    assert frames(x, torch.tensor([[1.0, 0, 0, 0, 0, 0]]), 3).tolist() == [[0, 0, 0]]
    assert words(torch.tensor([[1, 1, 3, 2]]), torch.tensor([[1.0, 1, 1, 0]]), 4).tolist() == [[0, 1, 0, 1]]
