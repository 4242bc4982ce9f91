"""Feature frames, or samples, to one vector: convolutions over (frequency, time), then the maximum and the mean."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator
from torch import Tensor, nn

from models.encoders.masks import Conv, pool
from service.types import Spec

Count = Annotated[int, Field(gt=0)]


class Audio(nn.Module):
    """Strides come early: frequency 64 -> 4, time a quarter. Convolving over frequency forgives another vocal tract
    (Abdel-Hamid et al., Convolutional Neural Networks for Speech Recognition, TASLP 2014)."""

    def __init__(self, mels: int, channels: list[int], width: int) -> None:
        super().__init__()
        a, b, c, d, e = channels
        self.convs = nn.ModuleList(
            (
                Conv(1, a, (3, 3), (2, 2), rows=1),
                Conv(a, b, (3, 3), (2, 2), rows=1),
                Conv(b, c, (3, 3), (2, 1), rows=1),
                Conv(c, d, (3, 3), (2, 1), rows=1),
                Conv(d, e, (mels // 16, 3)),
            )
        )
        self.project = nn.Linear(2 * e, width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        x, valid = features[:, None], mask[:, None, None]  # (B, 1, mels, F), (B, 1, 1, F)
        for conv in self.convs:
            x, valid = conv(x, valid)  # at last (B, e, 1, F / 4)
        h: Tensor = self.project(pool(x, valid))  # (B, width)
        return h


class AudioCnn(nn.Module):
    """The same of any number of bands, such as 13 MFCC, and any depth; as image networks hear well (Hershey et al.,
    CNN Architectures for Large-Scale Audio Classification, ICASSP 2017, arXiv:1609.09430)."""

    def __init__(self, bands: int, width: int, spec: "AudioCnnSpec") -> None:
        """Raises ValueError where there are no bands: samples are for `wave`."""
        super().__init__()
        if bands < 1:
            raise ValueError("cnn takes frames of features, wave takes samples")
        convs, rows, before = [], bands, 1
        for i, after in enumerate(spec.channels):
            convs.append(Conv(before, after, (3, 3), (2, 2 if i < spec.halvings else 1), rows=1))
            rows, before = (rows + 1) // 2, after
        self.convs = nn.ModuleList([*convs, Conv(before, before, (rows, 3))])
        self.project = nn.Linear(2 * before, width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, bands, F), mask (B, F) -> (B, width)."""
        x, valid = features[:, None], mask[:, None, None]
        for conv in self.convs:
            x, valid = conv(x, valid)  # at last (B, C, 1, F / 2^halvings)
        h: Tensor = self.project(pool(x, valid))
        return h


class Wave(nn.Module):
    """Samples to one vector; the first kernel spans 10 ms at 8 kHz and learns its own filter bank (Dai et al., Very
    Deep Convolutional Neural Networks for Raw Waveforms, ICASSP 2017, arXiv:1610.00087), with strides for its pools."""

    def __init__(self, width: int, spec: "WaveSpec") -> None:
        super().__init__()
        first, *rest = spec.channels
        convs = [Conv(1, first, (1, spec.kernel), (1, 4))]
        convs += [Conv(before, after, (1, 5), (1, 4)) for before, after in pairwise([first, *rest])]
        self.convs = nn.ModuleList(convs)
        self.project = nn.Linear(2 * spec.channels[-1], width)

    def forward(self, samples: Tensor, mask: Tensor) -> Tensor:
        """samples, mask (B, N) -> (B, width)."""
        x, valid = samples[:, None, None], mask[:, None, None]
        for conv in self.convs:
            x, valid = conv(x, valid)  # at last (B, C, 1, N / 4^convs)
        h: Tensor = self.project(pool(x, valid))
        return h


class AudioCnnSpec(Spec):
    kind: Literal["cnn"] = "cnn"
    channels: list[Count] = Field([16, 32, 48, 64], min_length=1, description="of each convolution; bands are halved")
    halvings: int = Field(2, ge=0, description="how many of them halve the frames, too")

    def build(self, bands: int, width: int) -> AudioCnn:
        return AudioCnn(bands, width, self)


class WaveSpec(Spec):
    kind: Literal["wave"] = "wave"
    channels: list[Count] = Field([32, 32, 64, 64], min_length=1, description="of each convolution; each a stride of 4")
    kernel: int = Field(81, gt=0, description="samples that the first one spans, an odd number")

    @field_validator("kernel")
    @classmethod
    def is_odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("an even kernel has no middle")
        return kernel

    def build(self, bands: int, width: int) -> Wave:
        """`bands` is 0: samples have none. Raises ValueError."""
        if bands:
            raise ValueError("wave takes samples, not frames of features")
        return Wave(width, self)
