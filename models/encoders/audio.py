"""Log-mel frames to one vector: convolutions over (frequency, time), then over time, then the maximum and the mean."""

from torch import Tensor, nn

from models.encoders.masks import Conv1d, Conv2d, pool


class Audio(nn.Module):
    """Strides come early: frequency 64 -> 4, time a quarter. Convolving over frequency forgives another vocal tract
    (Abdel-Hamid et al., Convolutional Neural Networks for Speech Recognition, TASLP 2014)."""

    def __init__(self, mels: int, channels: list[int], width: int) -> None:
        super().__init__()
        a, b, c, d, e = channels
        self.convs = nn.ModuleList(
            (Conv2d(1, a, (2, 2)), Conv2d(a, b, (2, 2)), Conv2d(b, c, (2, 1)), Conv2d(c, d, (2, 1)))
        )
        self.time = Conv1d(d * (mels // 16), e, 3)
        self.project = nn.Linear(2 * e, width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        x, valid = features[:, None], mask[:, None, None]  # (B, 1, mels, F), (B, 1, 1, F)
        for conv in self.convs:
            x, valid = conv(x, valid)
        x, valid = x.flatten(1, 2), valid[:, 0]  # (B, d * mels / 16, F / 4), (B, 1, F / 4)
        h: Tensor = self.project(pool(self.time(x, valid), valid))  # (B, width)
        return h
