"""One training loop for the worked examples: a network and the losses of a step, by AdamW, averaged, resumable."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel
from torch.optim.swa_utils import get_ema_multi_avg_fn as ema

from service.types import Spec

Tell = Callable[[int, dict[str, float]], None]  # step, losses
SAVED = 200  # steps between checkpoints
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # instructions; without them it takes ten times as long as float32


class Plan(Spec):
    """How long, how fast; `precision` of the convolutions while training."""

    steps: int = Field(gt=0)
    batch: int = Field(gt=0)
    rate: float = Field(2e-3, gt=0)
    decay: float = Field(2e-2, ge=0)
    clip: float = Field(10.0, gt=0)
    average: float = Field(0.998, ge=0, lt=1, description="of the weights over steps; what is served is the average")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="bfloat16: where the processor has it")


class Spent(Spec):
    """Seconds; of the processor: user and system, all threads."""

    processor: float = 0.0
    wall: float = 0.0

    def more(self, processor: float, wall: float) -> "Spent":
        return Spent(processor=self.processor + processor, wall=self.wall + wall)


def fit(
    net: nn.Module,
    losses: Callable[[int], dict[str, Tensor]],
    plan: Plan,
    checkpoint: Path,
    tell: Tell,
) -> Spent:
    """Trains `net` in place and leaves the averaged weights in it; goes on from `checkpoint` where there is one.

    `losses` computes those of the step of this number, whose random numbers are the same in a resumed run.
    """
    optimizer = AdamW(net.parameters(), plan.rate, weight_decay=plan.decay)
    schedule = OneCycleLR(optimizer, plan.rate, plan.steps, pct_start=0.1)
    averaged = AveragedModel(net, multi_avg_fn=ema(plan.average), use_buffers=True)  # type: ignore[no-untyped-call]  # torch
    states = {"net": net, "optimizer": optimizer, "schedule": schedule, "averaged": averaged}
    done, spent = resume(checkpoint, states)
    net.train()
    short = plan.precision == "bfloat16" and has_bfloat16()
    began = time.process_time(), time.perf_counter()
    for number in range(done, plan.steps):
        torch.manual_seed(number)
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            parts = losses(number)
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]  # torch
        nn.utils.clip_grad_norm_(net.parameters(), plan.clip)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(net)
        tell(number + 1, {name: part.item() for name, part in parts.items()})
        if (number + 1) % SAVED == 0 or number + 1 == plan.steps:
            now = spent.more(time.process_time() - began[0], time.perf_counter() - began[1])
            save(checkpoint, number + 1, states, now)
    return restore(checkpoint, net)


def has_bfloat16() -> bool:
    """Whether this processor's own instructions multiply it."""
    able = torch.cpu.get_capabilities()
    return any(able.get(each, False) for each in BFLOAT16)


def save(path: Path, step: int, states: dict[str, object], spent: Spent) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    held = {name: each.state_dict() for name, each in states.items()}  # type: ignore[attr-defined]  # all have one
    torch.save({"step": step, "spent": spent.model_dump()} | held, partial)
    partial.replace(path)


def resume(path: Path, states: dict[str, object]) -> tuple[int, Spent]:
    """Steps that are done, and what they cost."""
    if not path.exists():
        return 0, Spent()
    held = torch.load(path, weights_only=True)
    for name, each in states.items():
        each.load_state_dict(held[name])  # type: ignore[attr-defined]  # all have one
    return int(held["step"]), Spent(**held["spent"])


def restore(path: Path, net: nn.Module) -> Spent:
    """Puts the averaged weights of a checkpoint into `net`, ready to answer. Raises FileNotFoundError."""
    held = torch.load(path, weights_only=True)
    net.load_state_dict({k.removeprefix("module."): v for k, v in held["averaged"].items() if k != "n_averaged"})
    net.eval()
    return Spent(**held["spent"])
