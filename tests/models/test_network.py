"""What is absent or padding changes nothing; every kind of fusion weighs only what is there."""

import pytest
import torch

from models import fusion
from models.encoders.audio import Audio
from models.encoders.image import Image
from models.encoders.text import Text
from models.heads import Calibrated, Classifier, subset
from models.network import Network

TENSORS = {
    "text": ["input_ids", "attention_mask"],
    "image": ["pixel_values"],
    "audio": ["input_features", "frame_mask"],
}


def network(kind: str = "gated") -> Network:
    torch.manual_seed(0)
    encoders = {"text": Text(50, 8, 16, 16), "image": Image([4, 8, 8], 16), "audio": Audio(64, [4, 4, 8, 8, 16], 16)}
    return Network(encoders, TENSORS, kind, Classifier(16, 10, 0.1)).eval()


def batch(size: int = 4, tokens: int = 9, frames: int = 21) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "input_ids": torch.randint(1, 50, (size, tokens)),
        "attention_mask": torch.ones(size, tokens),
        "pixel_values": torch.randn(size, 1, 28, 28),
        "input_features": torch.randn(size, 64, frames),
        "frame_mask": torch.ones(size, frames),
    }


def padded(row: dict[str, torch.Tensor], tokens: int, frames: int) -> dict[str, torch.Tensor]:
    size = len(row["input_ids"])
    return {
        **row,
        "input_ids": torch.cat((row["input_ids"], torch.zeros(size, tokens, dtype=torch.long)), 1),
        "attention_mask": torch.cat((row["attention_mask"], torch.zeros(size, tokens)), 1),
        "input_features": torch.cat((row["input_features"], torch.zeros(size, 64, frames)), 2),
        "frame_mask": torch.cat((row["frame_mask"], torch.zeros(size, frames)), 1),
    }


@pytest.mark.parametrize(("tokens", "frames"), [(1, 1), (3, 2), (20, 63)])
@pytest.mark.parametrize(("length", "sound"), [(1, 1), (2, 3), (9, 22)])
def test_padding_changes_nothing(tokens: int, frames: int, length: int, sound: int) -> None:
    net, present, row = network(), torch.ones(4, 3), batch(tokens=length, frames=sound)
    with torch.no_grad():
        short, long = net(row, present).logits, net(padded(row, tokens, frames), present).logits
    assert (short - long).abs().max() < 1e-5


@pytest.mark.parametrize("kind", fusion.KINDS)
@pytest.mark.parametrize("garbage", [1e9, float("nan"), float("inf")])
def test_whatever_is_in_an_absent_slot_changes_nothing(kind: str, garbage: float) -> None:
    net, row = network(kind), batch()
    present = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]])
    there = {"pixel_values": present[:, 1], "input_features": present[:, 2]}
    spoiled = dict(row)
    for name, kept in there.items():
        spoiled[name] = row[name].clone()
        spoiled[name][kept == 0] = garbage
    with torch.no_grad():
        clean, dirty = net.probabilities(row, present), net.probabilities(spoiled, present)
    assert all(torch.equal(a, b) for a, b in zip(clean, dirty, strict=True))


@pytest.mark.parametrize("kind", fusion.KINDS)
def test_weights_sum_to_one_over_the_parts_that_are_there(kind: str) -> None:
    module = fusion.KINDS[kind](3, 16)
    present = torch.tensor([[1.0, 1, 1], [0, 1, 1], [0, 0, 1]])
    h, weights = module(torch.randn(3, 3, 16), present)
    assert h.shape == (3, 16)
    assert torch.allclose(weights.sum(1), torch.ones(3))
    assert (weights[present == 0] == 0).all()


@pytest.mark.parametrize("kind", fusion.KINDS)
def test_a_part_alone_is_not_mixed_with_anything(kind: str) -> None:
    hidden = torch.randn(3, 3, 16)
    h, _ = fusion.KINDS[kind](3, 16)(hidden, torch.eye(3))
    assert torch.allclose(h, hidden[torch.arange(3), torch.arange(3)])


def test_no_part_and_no_valid_place_is_still_a_distribution() -> None:
    net, row = network(), batch()
    row["attention_mask"][:] = 0
    row["frame_mask"][:] = 0
    with torch.no_grad():
        for present in (torch.zeros(4, 3), torch.ones(4, 3)):
            probabilities, weights = net.probabilities(row, present)
            assert torch.allclose(probabilities.sum(1), torch.ones(4))
            assert torch.isfinite(weights).all()


def test_each_subset_has_its_own_temperature() -> None:
    head = Calibrated(3)
    present = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 1]])
    assert subset(present, head.powers).tolist() == [1, 2, 5]
    head.temperature[2] = 100.0
    logits = torch.tensor([[3.0, 0, 0]]).expand(3, -1)
    sharp, soft, same = head(logits, present)
    assert soft.max() < 0.4 < sharp.max()
    assert torch.equal(sharp, same)
