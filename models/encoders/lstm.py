"""Token ids, or feature frames, to one vector: the last states of an LSTM in both directions."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from service.types import Spec


class Lstm(nn.Module):
    """Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; both ways: Graves and Schmidhuber, 2005.

    The way back begins at each row's own last place, not at the padding of its batch. Valid places come first.
    """

    def __init__(self, inputs: int, hidden: int, layers: int = 1, dropout: float = 0.0, *, both: bool = True) -> None:
        super().__init__()
        self.features = 2 * hidden if both else hidden
        sizes = [inputs] + [self.features] * (layers - 1)
        self.forth = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes)
        self.back = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in (sizes if both else []))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, inputs), mask (B, T) -> (B, features); zeros where nothing is valid."""
        length = mask.sum(1, keepdim=True).long()  # (B, 1)
        last = (length - 1).clamp(min=0)
        place = torch.ones_like(mask).cumsum(1).long() - 1  # (B, T): 0, 1, ...
        order = (last - place).clamp(min=0)  # last, ..., 0, 0, ...
        ends = []
        for i, forth in enumerate(self.forth):
            ways = [states(forth, x)]
            ends = [ways[0].gather(1, spread(last, ways[0]))]
            if len(self.back):
                returned = states(self.back[i], x.gather(1, spread(order, x)))
                ends.append(returned.gather(1, spread(last, returned)))
                ways.append(returned.gather(1, spread(order, returned)))
            x = self.dropout(torch.cat(ways, 2))
        return torch.cat(ends, 2)[:, 0] * (length > 0)


def states(layer: nn.Module, x: Tensor) -> Tensor:
    """x (B, T, inputs) -> (B, T, hidden). nn.LSTM's own checks of shapes are not traceable; its weights are."""
    weights: list[Tensor] = list(layer.parameters())
    start = x.new_zeros(1, x.shape[0], weights[1].shape[1])
    every, _, _ = torch.lstm(x, (start, start), weights, True, 1, 0.0, layer.training, False, True)
    return every


def spread(places: Tensor, x: Tensor) -> Tensor:
    """(B, N) -> (B, N, width of x), as gather wants it."""
    return places[..., None].expand(-1, -1, x.shape[2])


class TextLstm(nn.Module):
    def __init__(self, vocabulary: int, width: int, spec: "TextLstmSpec") -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, spec.embedding)
        self.lstm = Lstm(spec.embedding, spec.hidden, spec.layers, spec.dropout, both=spec.both)
        self.project = nn.Linear(self.lstm.features, width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (B, T) -> (B, width)."""
        h: Tensor = self.project(self.lstm(self.embed(ids), mask))
        return h


class AudioLstm(nn.Module):
    """Over log-mel, MFCC or filter-bank frames; every `stride` of them are read as one."""

    def __init__(self, bands: int, width: int, spec: "AudioLstmSpec") -> None:
        super().__init__()
        self.lstm = Lstm(bands * spec.stride, spec.hidden, spec.layers, spec.dropout, both=spec.both)
        self.project = nn.Linear(self.lstm.features, width)
        self.stride = spec.stride

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, bands, F), mask (B, F) -> (B, width)."""
        x = (features * mask[:, None]).transpose(1, 2)  # (B, F, bands)
        if self.stride > 1:
            silence = x.new_zeros(x.shape[0], self.stride - 1, x.shape[2])
            x = torch.cat((x, silence), 1)  # what is left over is read with zeros
            whole = x[:, : x.shape[1] // self.stride * self.stride]
            x = whole.reshape(x.shape[0], -1, x.shape[2] * self.stride)
            mask = mask[:, :: self.stride]
        h: Tensor = self.project(self.lstm(x, mask))
        return h


class TextLstmSpec(Spec):
    kind: Literal["lstm"] = "lstm"
    embedding: int = Field(64, gt=0, description="dimensions of a token's vector")
    hidden: int = Field(64, gt=0, description="states of one direction")
    layers: int = Field(1, gt=0)
    both: bool = Field(True, description="both directions")
    dropout: float = Field(0.0, ge=0, lt=1, description="between layers")

    def build(self, vocabulary: int, width: int) -> TextLstm:
        return TextLstm(vocabulary, width, self)


class AudioLstmSpec(Spec):
    kind: Literal["lstm"] = "lstm"
    hidden: int = Field(64, gt=0, description="states of one direction")
    layers: int = Field(1, gt=0)
    both: bool = Field(True, description="both directions")
    stride: int = Field(2, gt=0, description="frames read at once, one beside the other")
    dropout: float = Field(0.0, ge=0, lt=1, description="between layers")

    def build(self, bands: int, width: int) -> AudioLstm:
        return AudioLstm(bands, width, self)
