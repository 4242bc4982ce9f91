"""Every kind of fusion takes any subset of parts, never looks into an absent slot, learns, and exports."""

from itertools import product

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional

from models.fusion import Fusion
from models.fusion.late import AverageSpec, Product, ProductSpec
from models.fusion.related import CrossAttentionSpec
from models.fusion.weighted import Decay, DecaySpec
from tests.models import graphs

SPECS: TypeAdapter[Fusion] = TypeAdapter(Fusion)
KINDS = [
    "concat",
    "weights",
    "decay",
    "attention",
    "gated",
    "cross_attention",
    "graph",
    "low_rank",
    "average",
    "product",
]
SUBSETS = torch.tensor([each for each in product((0.0, 1.0), repeat=3) if any(each)])  # (7, 3)
WIDTH = 8


def module(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return SPECS.validate_python({"kind": kind}).build(3, WIDTH).eval()


def fuse(net: nn.Module, hidden: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        h, weights = net(hidden, present)
    return h, weights


@pytest.mark.parametrize("kind", KINDS)
def test_any_subset_gives_a_vector_and_weights_that_sum_to_one(kind: str) -> None:
    h, weights = fuse(module(kind), torch.randn(7, 3, WIDTH), SUBSETS)
    assert h.shape == (7, WIDTH)
    assert weights.shape == (7, 3)
    assert torch.allclose(weights.sum(1), torch.ones(7))
    assert (weights[SUBSETS == 0] == 0).all()
    assert (weights >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("garbage", [1e9, float("nan"), float("inf")])
def test_what_is_in_an_absent_slot_changes_nothing(kind: str, garbage: float) -> None:
    net, hidden = module(kind), torch.randn(7, 3, WIDTH)
    spoiled = torch.where(SUBSETS[..., None] > 0, hidden, garbage)
    for clean, dirty in zip(fuse(net, hidden, SUBSETS), fuse(net, spoiled, SUBSETS), strict=True):
        assert torch.equal(clean, dirty)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_is_as_in_company(kind: str) -> None:
    net, hidden = module(kind), torch.randn(7, 3, WIDTH)
    h, weights = fuse(net, hidden, SUBSETS)
    for i in range(7):
        alone, its = fuse(net, hidden[i : i + 1], SUBSETS[i : i + 1])
        assert (alone[0] - h[i]).abs().max() < 1e-5
        assert (its[0] - weights[i]).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_no_part_at_all_is_finite(kind: str) -> None:
    h, weights = fuse(module(kind), torch.randn(2, 3, WIDTH), torch.zeros(2, 3))
    assert torch.isfinite(h).all()
    assert torch.isfinite(weights).all()


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_with_parts_missing(kind: str) -> None:
    """Each part says the class in a basis of its own, with noise; only the fused answer is trained."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 4
    present = SUBSETS[torch.arange(64) % 7]
    before = nn.ModuleList(nn.Linear(6, WIDTH) for _ in range(3))
    net, head = module(kind).train(), nn.Linear(WIDTH, 4)
    bases = torch.randn(3, 4, 6)
    seen = bases[:, labels].transpose(0, 1) + 0.1 * torch.randn(64, 3, 6)  # (64, 3, 6)
    parameters = [*before.parameters(), *net.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 0.02)
    losses = []
    for _ in range(60):
        hidden = torch.stack([layer(seen[:, i]) for i, layer in enumerate(before)], 1)
        loss = functional.cross_entropy(head(net(hidden, present)[0]), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        assert all(torch.isfinite(each.grad).all() for each in parameters if each.grad is not None)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(each.grad is not None for each in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_answers_as_torch_does(kind: str) -> None:
    batches = [(torch.randn(n, 3, WIDTH), SUBSETS[:n]) for n in (2, 1, 7)]
    assert graphs.difference(module(kind), batches, {0: [0], 1: [0]}) < 1e-5


@pytest.mark.parametrize("kind", ["weights", "decay", "attention", "gated"])
def test_a_part_alone_is_not_mixed_with_anything(kind: str) -> None:
    hidden = torch.randn(3, 3, WIDTH)
    h, _ = fuse(module(kind), hidden, torch.eye(3))
    assert torch.allclose(h, hidden[torch.arange(3), torch.arange(3)])


def test_the_older_a_part_the_less_it_weighs() -> None:
    _, weights = fuse(module("decay"), torch.randn(1, 3, WIDTH), torch.ones(1, 3))
    ratio = torch.tensor(-0.5).exp()
    assert torch.allclose(weights[0, :2] / weights[0, 1:], ratio)  # rate 0.5, one step of age each


def test_ages_come_from_the_recipe_or_with_the_call() -> None:
    net = DecaySpec(ages=[0, 0, 10], rate=1).build(3, WIDTH)
    hidden, present = torch.randn(2, 3, WIDTH), torch.ones(2, 3)
    assert fuse(net, hidden, present)[1][0, 2] < 1e-4
    with torch.no_grad():
        _, weights = net(hidden, present, torch.tensor([[0.0, 0, 0], [9, 0, 9]]))
    assert torch.allclose(weights[0], torch.full((3,), 1 / 3))
    assert weights[1, 1] > 0.99


def test_ages_are_one_a_part() -> None:
    with pytest.raises(ValueError, match="2 ages for 3 parts"):
        Decay(3, WIDTH, [1.0, 2.0])


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        CrossAttentionSpec(heads=3).build(2, WIDTH)


def test_the_late_average_is_that_of_probabilities() -> None:
    logits = torch.tensor([[[2.0, 0, 0], [0, 1, 0]]])
    fused, _ = fuse(AverageSpec().build(2, 3), logits, torch.ones(1, 2))
    assert torch.allclose(fused.softmax(1), logits.softmax(2).mean(1), atol=1e-5)
    sigmoids, _ = fuse(AverageSpec(space="sigmoid").build(2, 3), logits, torch.ones(1, 2))
    assert torch.allclose(sigmoids.sigmoid(), logits.sigmoid().mean(1), atol=1e-5)
    values, _ = fuse(AverageSpec(space="value").build(2, 3), logits, torch.ones(1, 2))
    assert torch.allclose(values, logits.mean(1))


def test_the_product_of_experts_multiplies_and_counts_confidence() -> None:
    logits = torch.tensor([[[2.0, 0, 0], [0, 1, 0]]])
    fused, weights = fuse(ProductSpec().build(2, 3), logits, torch.ones(1, 2))
    p = logits.softmax(2).prod(1)
    assert torch.allclose(fused.softmax(1), p / p.sum(1, keepdim=True), atol=1e-4)
    assert torch.allclose(weights, torch.full((1, 2), 0.5))
    net = Product(2, 3, "value")
    net.gamma.data = torch.tensor([5.0, -9.0])
    values, weights = fuse(net, logits, torch.ones(1, 2))
    assert torch.allclose(values, logits[:, 0], atol=1e-3)
    assert weights[0, 0] > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_kind_says_so(kind: str) -> None:
    assert getattr(SPECS.validate_python({"kind": kind}), "predictions", False) == (kind in {"average", "product"})
