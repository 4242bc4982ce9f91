"""Queries, keys and values to what the queries read, under a mask of keys; and the transformer's layer made of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

NEVER = -3e4  # finite, also in float16: with no valid key the attention is uniform, not NaN


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """a = softmax(q k' / sqrt(d)) (Vaswani et al., 2017, arXiv:1706.03762).

    query (B, Q, width), key and value (B, K, width), mask (B, K) -> read (B, Q, width), a (B, heads, Q, K).
    """
    q, k, v = (split(x, heads) for x in (query, key, value))  # (B, heads, places, d)
    scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
    a = torch.where(mask[:, None, None] > 0, scores, NEVER).softmax(3)
    return (a @ v).transpose(1, 2).flatten(2), a


def split(x: Tensor, heads: int) -> Tensor:
    """(B, places, width) -> (B, heads, places, width / heads)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


class Block(nn.Module):
    """x + attention(norm(x)), x + mlp(norm(x)): normalised first, which trains without warm-up (Xiong et al., 2020,
    arXiv:2002.04745)."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float = 0.0) -> None:
        """Raises ValueError where the heads do not divide the width."""
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)
        self.heads = heads

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, width), mask (B, T) -> (B, T, width); what is masked is never looked at."""
        y = self.before(x)
        read, _ = attend(self.query(y), self.key(y), self.value(y), mask, self.heads)
        x = x + self.dropout(self.out(read))
        x = x + self.dropout(self.down(functional.gelu(self.up(self.between(x)))))
        return x
