"""A folder or file of weights to a module's own: by name, and nothing that does not fit goes unsaid."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn


class Pretrained(nn.Module):
    """`body` and one linear layer; a frozen body is not trained, nor are its dropout and batch statistics at work."""

    def __init__(self, body: nn.Module, features: int, width: int, *, frozen: bool = False) -> None:
        super().__init__()
        self.body = body.requires_grad_(not frozen)
        self.project = nn.Linear(features, width)
        self.frozen = frozen

    def train(self, mode: bool = True) -> "Pretrained":
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def forward(self, *tensors: Tensor) -> Tensor:
        """What the body takes -> (B, width)."""
        h: Tensor = self.project(self.body(*tensors))
        return h


def read(path: Path) -> dict[str, Tensor]:
    """A .safetensors file, a state dict that torch.save wrote, or a Hugging Face folder with either, in one file or
    several. Pickles that hold more than tensors are refused. Raises FileNotFoundError, ValueError."""
    if path.is_dir():
        files = sorted(path.glob("model*.safetensors")) or sorted(path.glob("pytorch_model*.bin"))
        if not files:
            raise FileNotFoundError(f"no model.safetensors or pytorch_model.bin in {path}")
        return {name: tensor for file in files for name, tensor in read(file).items()}
    if path.suffix == ".safetensors":
        return dict(safetensors.torch.load_file(path))
    states = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(states, dict) or not all(isinstance(each, Tensor) for each in states.values()):
        raise ValueError(f"{path}: not a state dict")
    return states


def load(module: nn.Module, states: Mapping[str, Tensor], without: Iterable[str] = ()) -> None:
    """By name; names that begin with one of `without` are left out. Weights of a first convolution of three colours
    are summed where the module sees one. Raises ValueError with the names that miss or do not fit."""
    wanted = module.state_dict()
    given = {name: tensor for name, tensor in states.items() if not name.startswith(tuple(without))}
    for name, tensor in given.items():
        if name in wanted and tensor.dim() == 4 and tensor.shape[1] == 3 and wanted[name].shape[1] == 1:
            given[name] = tensor.sum(1, keepdim=True)
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # older files have none
    wrong = {
        "missing": wanted.keys() - given.keys() - counters,
        "unknown": given.keys() - wanted.keys(),
        "of another shape": {name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape},
    }
    found = [f"{what}: {', '.join(sorted(names)[:5])}" for what, names in wrong.items() if names]
    if found:
        raise ValueError(f"these weights do not fit ({'; '.join(found)})")
    module.load_state_dict(given, strict=False)
