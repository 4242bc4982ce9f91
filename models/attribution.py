"""Integrated gradients (Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017) of one part."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.encoders.text import Text
from models.network import Network
from service.explain.canvas import Piece
from service.inputs import Audio
from service.model import Model
from service.types import Array

STEPS = 64  # of the way from nothing to the input
Scalar = Callable[[Tensor], Tensor]  # (N, ...) -> (N,)


def integrated(f: Scalar, nothing: Tensor, whole: Tensor) -> Tensor:
    """(1, ...) what each number of `whole` adds to f(whole) - f(nothing), which they sum to."""
    way = (torch.arange(STEPS, dtype=torch.float32) + 0.5) / STEPS  # the middles
    points = (nothing + way.view(-1, *[1] * (whole.dim() - 1)) * (whole - nothing)).requires_grad_()
    (slopes,) = torch.autograd.grad(f(points).sum(), points)
    return (whole - nothing) * slopes.mean(0, keepdim=True)


def odds(net: Network, part: str, label: int, encode: Scalar) -> Scalar:
    """What `encode` makes of a part -> the label's log-odds, with this part alone."""
    index = list(net.encoders).index(part)

    def f(x: Tensor) -> Tensor:
        hidden = torch.zeros(len(x), len(net.encoders), net.head.linear.in_features)
        hidden[:, index] = encode(x)
        present = torch.zeros(len(x), len(net.encoders))
        present[:, index] = 1
        logits: Tensor = net.head(net.fusion(hidden, present)[0])
        others = torch.cat((logits[:, :label], logits[:, label + 1 :]), 1)
        return logits[:, label] - others.logsumexp(1)

    return f


def of(net: Network, model: Model, part: str, data: bytes, label: int) -> Tensor:
    """One number a pixel (H, W), a frame (F,) or a token (T,). Nothing is black, silence, or a vector of zeros."""
    row = model.encode_part(part, data)
    first, *rest = (torch.from_numpy(row[name])[None] for name in net.tensors[part])
    encoder = net.encoders[part]
    words = isinstance(encoder, Text)  # ids have no gradient, their vectors do

    def encode(x: Tensor) -> Tensor:
        others = [one.expand(len(x), *one.shape[1:]) for one in rest]
        h: Tensor = encoder.embedded(x, *others) if isinstance(encoder, Text) else encoder(x, *others)
        return h

    whole = encoder.embed(first).detach() if isinstance(encoder, Text) else first
    nothing = torch.zeros_like(whole) if words else whole.amin().expand_as(whole)
    found = integrated(odds(net, part, label, encode), nothing, whole)[0]
    return found.sum(-1 if words else 0)


def over(model: Model, part: str, data: bytes, attributed: Tensor, pieces: Sequence[Piece]) -> Array:
    """(pieces,) sums over the same boxes, slices of time or spans of text that occlusion takes away."""
    inside = {"image": in_box, "audio": in_slice, "text": in_span}[part]
    return torch.stack([attributed[inside(model, data, attributed, piece)].sum() for piece in pieces]).numpy()


def in_box(model: Model, data: bytes, attributed: Tensor, piece: Piece) -> Tensor:
    """A picture of MNIST is what the network sees: its ink is cropped and centred already."""
    left, top, right, bottom = map(int, piece)
    there = torch.zeros_like(attributed, dtype=torch.bool)
    there[top:bottom, left:right] = True
    return there


def in_slice(model: Model, data: bytes, attributed: Tensor, piece: Piece) -> Tensor:
    """Frames whose middle lies in it, of a recording that is trimmed already."""
    spec = model.manifest.inputs["audio"]
    assert isinstance(spec, Audio)
    assert spec.features.kind == "log_mel"
    middles = torch.arange(len(attributed)) * spec.features.hop / spec.sample_rate
    return (middles >= piece[0]) & (middles < piece[1])


def in_span(model: Model, data: bytes, attributed: Tensor, piece: Piece) -> Tensor:
    """Tokens of these characters; special tokens stand nowhere."""
    spans = model.spans("text")(data.decode())
    return torch.tensor([piece[0] <= start < end <= piece[1] for start, end in spans])
