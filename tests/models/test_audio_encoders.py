"""Every encoder of sounds ignores padding, learns, and exports; log-mel, MFCC, filter banks or samples."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from models.encoders import AudioEncoder
from models.encoders.audio import AudioCnnSpec, WaveSpec
from models.encoders.statistics import StatisticsSpec, describe
from tests.models import graphs

SPECS: TypeAdapter[AudioEncoder] = TypeAdapter(AudioEncoder)
WIDTH = 8
CASES: list[tuple[dict[str, object], int]] = [  # what, and its bands
    ({"kind": "cnn", "channels": [4, 6]}, 13),
    ({"kind": "cnn", "channels": [4, 4, 6, 6], "halvings": 1}, 64),
    ({"kind": "lstm", "hidden": 5}, 20),
    ({"kind": "lstm", "hidden": 5, "stride": 3, "both": False, "layers": 2}, 40),
    ({"kind": "lstm", "hidden": 4, "stride": 1}, 13),
    ({"kind": "statistics", "hidden": [6], "dropout": 0.1}, 13),
    ({"kind": "statistics", "hidden": [], "scales": [1, 4]}, 40),
    ({"kind": "wave", "channels": [4, 6], "kernel": 9}, 0),
]
NAMES = [f"{case['kind']}-{bands}" for case, bands in CASES]


def module(case: dict[str, object], bands: int) -> nn.Module:
    torch.manual_seed(0)
    return SPECS.validate_python(case).build(bands, WIDTH).eval()


def batch(size: int, bands: int, frames: int, padding: int = 0) -> tuple[Tensor, Tensor]:
    """What is padding holds numbers, too: the mask must say what counts."""
    torch.manual_seed(size + frames)
    shape = (size, bands) if bands else (size,)
    x = torch.cat((torch.randn(*shape, frames), torch.randn(*shape, padding)), -1)
    return x, torch.cat((torch.ones(size, frames), torch.zeros(size, padding)), 1)


@pytest.mark.parametrize(("case", "bands"), CASES, ids=NAMES)
@pytest.mark.parametrize(("frames", "padding"), [(1, 1), (2, 3), (17, 40)])
def test_padding_changes_nothing(case: dict[str, object], bands: int, frames: int, padding: int) -> None:
    net = module(case, bands)
    with torch.no_grad():
        short, long = net(*batch(3, bands, frames)), net(*batch(3, bands, frames, padding))
    assert short.shape == (3, WIDTH)
    assert (short - long).abs().max() < 1e-5


@pytest.mark.parametrize(("case", "bands"), CASES, ids=NAMES)
def test_the_graph_answers_as_torch_does(case: dict[str, object], bands: int) -> None:
    batches = [batch(2, bands, 30, 4), batch(1, bands, 1), batch(5, bands, 57), batch(3, bands, 8, 3)]
    axes = {0: [0, 2] if bands else [0, 1], 1: [0, 1]}
    assert graphs.difference(module(case, bands), batches, axes) < 1e-5


@pytest.mark.parametrize(("case", "bands"), CASES, ids=NAMES)
def test_it_learns_which_sounds_rise(case: dict[str, object], bands: int) -> None:
    net, head = module(case, bands).train(), nn.Linear(WIDTH, 1)
    x, mask = batch(32, bands, 24, 2)
    labels = (torch.arange(32) % 2).float()
    ramp = torch.linspace(-2, 2, 26)
    x = x + torch.where(labels[:, None] > 0, ramp, -ramp).reshape(32, *([1] * (x.dim() - 2)), 26)
    parameters = [*net.parameters(), *head.parameters()]
    optimizer, losses = torch.optim.Adam(parameters, 0.02), []
    for _ in range(40):
        loss = nn.functional.binary_cross_entropy_with_logits(head(net(x, mask))[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in parameters)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(("case", "bands"), CASES, ids=NAMES)
def test_no_frame_at_all_is_finite(case: dict[str, object], bands: int) -> None:
    x, mask = batch(2, bands, 5)
    assert torch.isfinite(module(case, bands)(x, 0 * mask)).all()


def test_frames_and_samples_are_not_confused() -> None:
    with pytest.raises(ValueError, match="wave takes samples"):
        WaveSpec().build(64, WIDTH)
    with pytest.raises(ValueError, match="cnn takes frames"):
        AudioCnnSpec().build(0, WIDTH)
    with pytest.raises(ValueError, match="statistics are of frames"):
        StatisticsSpec().build(0, WIDTH)
    with pytest.raises(ValidationError, match="an even kernel has no middle"):
        WaveSpec(kernel=80)


def test_measures_are_what_numpy_says() -> None:
    x, mask = batch(2, 3, 17, 5)
    found = describe(x, mask, [4])[1].reshape(7, 3)
    groups = [x[1, :, at : min(at + 4, 17)].mean(1) for at in range(0, 17, 4)]
    means = torch.stack(groups, 1)  # (3, 5), the last of one frame
    steps = means.diff(dim=1).abs()
    place = (torch.arange(5) + 0.5) / 5 - 0.5
    trend = ((means - means.mean(1, keepdim=True)) * place).mean(1)
    parts = [
        means.mean(1),
        means.std(1, correction=0),
        trend,
        means.amin(1),
        means.amax(1),
        steps.mean(1),
        steps.amax(1),
    ]
    assert (found - torch.stack(parts)).abs().max() < 1e-5
