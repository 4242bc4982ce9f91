"""Token ids to one vector: an n-gram detector, that is convolutions over embeddings and the maximum over places."""

from torch import Tensor, nn

from models.encoders.masks import Conv1d, pool


class Text(nn.Module):
    """Kim, Convolutional Neural Networks for Sentence Classification, EMNLP 2014; two layers see 9 characters."""

    def __init__(self, vocabulary: int, embedding: int, channels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.first = Conv1d(embedding, channels, 5)
        self.second = Conv1d(channels, channels, 5)
        self.project = nn.Linear(2 * channels, width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        valid = mask[:, None]  # (B, 1, T)
        x = self.embed(ids).transpose(1, 2)  # (B, embedding, T)
        x = self.second(self.first(x, valid), valid)  # (B, channels, T)
        h: Tensor = self.project(pool(x, valid))  # (B, width)
        return h
