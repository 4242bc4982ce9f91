"""Every encoder of pictures takes its sides, learns, exports, and has torchvision's names and shapes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.encoders import ImageEncoder
from models.encoders.image import grid
from models.encoders.inception import MIXTURES, Inception, InceptionSpec
from models.encoders.resnet import ResNet, ResNetSpec
from models.encoders.vgg import Vgg
from tests.models import graphs

SPECS: TypeAdapter[ImageEncoder] = TypeAdapter(ImageEncoder)
WIDTH = 8
CASES: list[tuple[dict[str, object], int]] = [  # what, and the side of its pictures
    ({"kind": "cnn", "channels": [4, 6]}, 13),
    ({"kind": "cnn", "channels": [4, 6, 6, 6, 6], "fields": 2}, 28),
    ({"kind": "resnet", "layers": 18}, 65),
    ({"kind": "resnet", "layers": 50, "small": True}, 16),
    ({"kind": "vgg", "layers": 11}, 40),
    ({"kind": "vgg", "layers": 16, "norm": False}, 32),
    ({"kind": "inception"}, 75),
]
NAMES = [f"{case['kind']}{case.get('layers', len(str(case)))}" for case, _ in CASES]


def module(case: dict[str, object], colours: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return SPECS.validate_python(case).build(colours, WIDTH).eval()


@pytest.mark.parametrize(("case", "side"), CASES, ids=NAMES)
def test_the_graph_answers_as_torch_does(case: dict[str, object], side: int) -> None:
    batches = [torch.rand(count, 3, side, side) for count in (2, 1, 3)]
    net = module(case)
    assert net(batches[0]).shape == (2, WIDTH)
    assert graphs.difference(net, [[each] for each in batches], {0: [0]}) < 1e-5


@pytest.mark.parametrize(("case", "side"), CASES, ids=NAMES)
def test_every_weight_gets_a_gradient(case: dict[str, object], side: int) -> None:
    net = module(case, colours=1).train()
    net(torch.rand(2, 1, side, side + 3)).square().sum().backward()
    assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in net.parameters())
    assert sum(float(each.grad.abs().sum()) > 0 for each in net.parameters() if each.grad is not None) > 2


@pytest.mark.parametrize("case", [{"kind": "cnn", "channels": [4, 8]}, {"kind": "resnet", "small": True}])
def test_it_learns_which_half_is_bright(case: dict[str, object]) -> None:
    net, head = module(case, colours=1).train(), nn.Linear(WIDTH, 1)
    pixels, labels = 0.1 * torch.rand(32, 1, 8, 8), (torch.arange(32) % 2).float()
    pixels[::2, :, :4] += 1
    pixels[1::2, :, 4:] += 1
    optimizer, losses = torch.optim.Adam([*net.parameters(), *head.parameters()], 3e-3), []
    for _ in range(12):
        loss = nn.functional.binary_cross_entropy_with_logits(head(net(pixels))[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("side", [1, 2, 5, 7, 9, 14, 15])
@pytest.mark.parametrize("fields", [1, 3, 7])
def test_the_grid_is_torchs_adaptive_pooling(side: int, fields: int) -> None:
    x = torch.rand(2, 3, side, side + 2)
    assert (grid(x, fields) - nn.AdaptiveAvgPool2d(fields)(x)).abs().max() < 1e-6


def test_a_grid_exports_at_any_side() -> None:
    class Grid(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return grid(x, 3)

    batches = [[torch.rand(2, 3, side, side + 2)] for side in (5, 1, 9)]
    assert graphs.difference(Grid(), batches, {0: [0, 2, 3]}) < 1e-6


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    vectors = {f"{name}.{each}": (channels,) for each in ("weight", "bias", "running_mean", "running_var")}
    return {**vectors, f"{name}.num_batches_tracked": ()}


def resnet_names(layers: int) -> dict[str, tuple[int, ...]]:
    """As torchvision.models.resnet names and shapes them, without its `fc`."""
    names: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    before, deep = 64, layers == 50
    stages = zip({18: [2] * 4, 50: [3, 4, 6, 3]}[layers], [64, 128, 256, 512], strict=True)
    for stage, (blocks, channels) in enumerate(stages, 1):
        for block in range(blocks):
            at, after = f"layer{stage}.{block}", channels * 4 if deep else channels
            shapes = [(channels, before, 3, 3), (channels, channels, 3, 3)]
            if deep:
                shapes = [(channels, before, 1, 1), (channels, channels, 3, 3), (after, channels, 1, 1)]
            for i, shape in enumerate(shapes, 1):
                names |= {f"{at}.conv{i}.weight": shape, **norm(f"{at}.bn{i}", shape[0])}
            if before != after:
                names |= {f"{at}.downsample.0.weight": (after, before, 1, 1), **norm(f"{at}.downsample.1", after)}
            before = after
    return names


@pytest.mark.parametrize(("layers", "parameters"), [(18, 11_689_512), (50, 25_557_032)])
def test_a_resnet_has_torchvisions_names(layers: int, parameters: int) -> None:
    net = ResNet(3, layers)
    assert {name: tuple(each.shape) for name, each in net.state_dict().items()} == resnet_names(layers)
    assert sum(each.numel() for each in net.parameters()) == parameters - 1001 * net.features + net.features - 1000


@pytest.mark.parametrize("layers", [11, 16])
@pytest.mark.parametrize("with_norm", [False, True])
def test_a_vgg_has_torchvisions_names(layers: int, with_norm: bool) -> None:
    parameters = {11: 132_863_336, 16: 138_357_544}[layers]  # without batch norm
    with torch.device("meta"):
        net = Vgg(3, layers, norm=with_norm, dense=True)
    plan = {
        11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
        16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    }
    names: dict[str, tuple[int, ...]] = {}
    at, before = 0, 3
    for each in plan[layers].split():
        if each == "M":
            at += 1
            continue
        names |= {f"features.{at}.weight": (int(each), before, 3, 3), f"features.{at}.bias": (int(each),)}
        names |= norm(f"features.{at + 1}", int(each)) if with_norm else {}
        at, before = at + (3 if with_norm else 2), int(each)
    for at, shape in ((0, (4096, 25088)), (3, (4096, 4096))):
        names |= {f"classifier.{at}.weight": shape, f"classifier.{at}.bias": shape[:1]}
    assert {name: tuple(each.shape) for name, each in net.state_dict().items()} == names
    norms = sum(2 * each.num_features for each in net.modules() if isinstance(each, nn.BatchNorm2d))
    assert sum(each.numel() for each in net.parameters()) == parameters + norms - 4097 * 1000


def test_an_inception_has_torchvisions_names() -> None:
    net = Inception(3)
    convs = ["conv1", "conv2", "conv3"]
    for block in MIXTURES:
        branches = ["branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"]
        convs += [f"inception{block}.{branch}" for branch in branches]
    expected = {f"{conv}.conv.weight" for conv in convs} | {name for conv in convs for name in norm(f"{conv}.bn", 1)}
    assert net.state_dict().keys() == expected
    assert sum(each.numel() for each in net.parameters()) == 6_624_904 - 1025 * 1000


def test_weights_come_from_a_file_with_the_last_layer_left_out(tmp_path: Path) -> None:
    torch.manual_seed(5)
    given = ResNet(3, 18)
    states = {**given.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(states, tmp_path / "resnet18.pth")
    net = ResNetSpec(weights=str(tmp_path / "resnet18.pth"), frozen=True).build(3, WIDTH).eval()
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(net.body(x), given.eval()(x))
    assert [name for name, each in net.named_parameters() if each.requires_grad] == ["project.weight", "project.bias"]
    grey = ResNetSpec(weights=str(tmp_path / "resnet18.pth")).build(1, WIDTH).eval()
    bright = torch.rand(1, 1, 32, 32)
    assert (grey.body(bright) - given(bright.expand(1, 3, 32, 32))).abs().max() < 1e-4
    with pytest.raises(ValueError, match="these weights do not fit"):
        InceptionSpec(weights=str(tmp_path / "resnet18.pth")).build(3, WIDTH)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg11_bn", "vgg16", "googlenet"])
def test_the_features_are_torchvisions(name: str) -> None:
    """Not in the development environment; run it where torchvision is."""
    reference = getattr(pytest.importorskip("torchvision").models, name)(weights=None).eval()
    norm, layers = name.endswith("_bn"), int("".join(each for each in name if each.isdigit()) or 0)
    made: dict[str, Callable[[], nn.Module]] = {
        "r": lambda: ResNet(3, layers),
        "v": lambda: Vgg(3, layers, norm=norm, dense=True),
        "g": lambda: Inception(3),
    }
    net = made[name[0]]()
    net.load_state_dict({key: each for key, each in reference.state_dict().items() if key in net.state_dict()})
    last = "classifier.6" if name[0] == "v" else "fc"
    reference.set_submodule(last, nn.Identity())
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert (net.eval()(x) - reference(x)).abs().max() < 1e-4
