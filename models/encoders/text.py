"""Token ids to one vector: an n-gram detector, that is convolutions over embeddings and the maximum over places."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from models.encoders.masks import Conv, pool
from service.types import Spec


class Text(nn.Module):
    """Kim, Convolutional Neural Networks for Sentence Classification, EMNLP 2014; two layers see 9 characters."""

    def __init__(self, vocabulary: int, embedding: int, channels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.first = Conv(embedding, channels, (1, 5))
        self.second = Conv(channels, channels, (1, 5))
        self.project = nn.Linear(2 * channels, width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.embedded(self.embed(ids), mask)

    def embedded(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """vectors (B, T, embedding)."""
        valid = mask[:, None, None]  # (B, 1, 1, T)
        x = vectors.transpose(1, 2)[:, :, None]  # (B, embedding, 1, T)
        x, valid = self.second(*self.first(x, valid))  # (B, channels, 1, T)
        h: Tensor = self.project(pool(x, valid))  # (B, width)
        return h


class TextCnnSpec(Spec):
    kind: Literal["cnn"] = "cnn"
    embedding: int = Field(32, gt=0, description="dimensions of a token's vector")
    channels: int = Field(64, gt=0)

    def build(self, vocabulary: int, width: int) -> Text:
        return Text(vocabulary, self.embedding, self.channels, width)
