"""Encoders trained without labels, before anything else: each rebuilds a summary of its part from its vector."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from models.heads.reconstruct import Autoencoder
from models.table.columns import Column, tensors
from models.table.fit import batches, device
from models.table.network import Network
from models.table.rows import Rows
from models.table.unlabelled import Summary
from service.types import Array

SOME = 512  # rows that tell how a part usually is


def pretrain(net: Network, rows: Rows, vocabularies: dict[str, int], tell: Callable[[str, float], None]) -> None:
    """In place, `training.pretrain` epochs for each part; `tell` hears part and mean loss after each of them.

    Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, ICML 2008, without the noise.
    """
    recipe, where = net.recipe, device(net.recipe.training)
    torch.manual_seed(recipe.seed)
    for i, (name, part) in enumerate(recipe.parts.items()):
        rng = np.random.default_rng([recipe.seed, 17, i])
        some = rows.take(np.flatnonzero(rows.present[:, i]))
        summary = Summary(part, vocabularies.get(name, 0))
        auto = Autoencoder(net.encoders[i], recipe.width, summary.of, summary.size).to(where)
        auto.fit(*taken(some, part, rng.permutation(len(some))[:SOME], where))
        optimizer = AdamW([p for p in auto.parameters() if p.requires_grad], recipe.training.rate)
        auto.train()
        for _ in range(recipe.training.pretrain):
            losses = [
                step(auto, optimizer, taken(some, part, chosen, where), recipe.training.clip)
                for chosen in batches(len(some), recipe.training.batch, rng)
            ]
            tell(name, float(np.mean(losses)) if losses else 0.0)
    net.to("cpu")


def taken(rows: Rows, part: Column, chosen: Array, where: torch.device) -> list[Tensor]:
    """What the part's encoder takes."""
    batch = rows.take(chosen).batch()
    return [torch.from_numpy(batch[name]).to(where) for name in tensors(part.input)]


def step(auto: Autoencoder, optimizer: AdamW, batch: list[Tensor], clip: float) -> float:
    loss = auto.loss(*batch)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch
    clip_grad_norm_(auto.parameters(), clip)
    optimizer.step()
    return loss.item()
