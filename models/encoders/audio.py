"""Log-mel frames to one vector: convolutions over (frequency, time), then over time, then the maximum and the mean."""

from torch import Tensor, nn

from models.encoders.masks import Conv, pool


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
