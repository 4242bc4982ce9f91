"""Pools of samples to a trained network: random triples of one class, random subsets of parts, one optimiser."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from models.augment import features
from models.encoders.audio import Audio
from models.encoders.image import Image
from models.encoders.text import Text
from models.heads import Classifier
from models.network import Answer, Network
from models.pools import Pool, collate
from models.recipe import Recipe, Training
from service.types import Array

CLASSES = 10
SAVED = 100  # steps between two checkpoints
WINDOW = 1500  # recordings of similar length among which a batch is drawn, so that little of it is padding


class Step(NamedTuple):
    batch: dict[str, Tensor]
    present: Tensor  # (B, M)
    labels: Tensor  # (B,)


def network(recipe: Recipe, vocabulary: int) -> Network:
    size, width = recipe.network.encoders, recipe.network.width
    encoders = {
        "text": Text(vocabulary, size.embedding, size.text, width),
        "image": Image(size.image, width),
        "audio": Audio(recipe.mel.mels, size.audio, width),
    }
    head = Classifier(width, CLASSES, recipe.network.dropout)
    return Network(encoders, recipe.tensors(), recipe.network.fusion, head)


class Sampler:
    """Step s of a run, the same each time: a batch of recordings of similar length, and a picture and a text for each,
    of the same class, as AV-MNIST pairs them."""

    def __init__(self, recipe: Recipe, pools: Mapping[str, Pool]) -> None:
        self.recipe, self.pools = recipe, pools
        lengths = [next(iter(row.values())).shape[-1] for row in pools["audio"].rows]
        self.order = np.argsort(lengths, kind="stable")
        self.classes = {
            part: [np.flatnonzero(pool.labels == c) for c in range(CLASSES)] for part, pool in pools.items()
        }

    def __call__(self, step: int) -> Step:
        rng, size = np.random.default_rng([self.recipe.seed, step]), self.recipe.training.batch
        window = min(WINDOW, len(self.order))
        start = min(max(0, int(rng.integers(len(self.order))) - window // 2), len(self.order) - window)
        chosen = {"audio": self.order[start + rng.choice(window, size)]}
        labels = self.pools["audio"].labels[chosen["audio"]]
        for part in self.pools:
            if part != "audio":
                chosen[part] = np.array([rng.choice(self.classes[part][label]) for label in labels])
        batch = {name: tensor for part, at in chosen.items() for name, tensor in self.collate(part, at).items()}
        self.augment(batch, step)
        return Step(
            batch,
            torch.from_numpy(subsets(size, len(self.pools), self.recipe.training.complete, rng)),
            torch.from_numpy(labels),
        )

    def collate(self, part: str, chosen: Array) -> dict[str, Tensor]:
        return collate([self.pools[part].rows[i] for i in chosen])

    def augment(self, batch: dict[str, Tensor], step: int) -> None:
        sound, mask = self.recipe.tensors()["audio"]
        generator = Generator().manual_seed(self.recipe.seed + step)
        batch[sound], batch[mask] = features.vary(batch[sound], batch[mask], generator)


def subsets(size: int, parts: int, complete: float, rng: np.random.Generator) -> Array:
    """(size, parts) of 0 and 1: all parts in a share of `complete`, else any non-empty subset, all as likely."""
    numbers = np.where(rng.random(size) < complete, 2**parts - 1, rng.integers(1, 2**parts, size))
    return ((numbers[:, None] >> np.arange(parts)) & 1).astype(np.float32)


def loss(training: Training, answer: Answer, step: Step) -> Tensor:
    """Cross-entropy of the fused answer, and with a smaller weight of what each part says alone."""
    fused = functional.cross_entropy(answer.logits, step.labels, label_smoothing=training.smoothing)
    alone = functional.cross_entropy(answer.alone.flatten(0, 1), step.labels.repeat_interleave(answer.alone.shape[1]))
    return fused + training.alone * alone


def train(
    net: Network,
    sampler: Callable[[int], Step],
    training: Training,
    steps: int,
    checkpoint: Path,
    tell: Callable[[int, float], None],
) -> None:
    """In place. Goes on from `checkpoint` where there is one, and writes it every now and then."""
    optimizer = AdamW(net.parameters(), training.rate, weight_decay=training.decay)
    schedule = OneCycleLR(optimizer, training.rate, steps, pct_start=0.15)
    done = resume(checkpoint, net, optimizer, schedule)
    net.train()
    for number in range(done, steps):
        torch.manual_seed(number)  # dropout is the same in a resumed run
        step = sampler(number)
        value = loss(training, net(step.batch, step.present), step)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]  # torch
        clip_grad_norm_(net.parameters(), training.clip)
        optimizer.step()
        schedule.step()
        tell(number + 1, value.item())
        if (number + 1) % SAVED == 0 or number + 1 == steps:
            save(checkpoint, number + 1, net, optimizer, schedule)
    net.eval()


def save(path: Path, step: int, net: Network, optimizer: AdamW, schedule: OneCycleLR) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    states = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    torch.save({"step": step, **states}, partial)
    partial.replace(path)


def resume(path: Path, net: Network, optimizer: AdamW, schedule: OneCycleLR) -> int:
    """Returns the number of steps that are done."""
    if not path.exists():
        return 0
    states = torch.load(path, weights_only=True)
    net.load_state_dict(states["net"])
    optimizer.load_state_dict(states["optimizer"])
    schedule.load_state_dict(states["schedule"])
    return int(states["step"])


def restore(path: Path, net: Network) -> Network:
    """The network of a checkpoint, ready to answer."""
    net.load_state_dict(torch.load(path, weights_only=True)["net"])
    return net.eval()
