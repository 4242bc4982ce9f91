"""An exported graph of the digits recipe back to the network that it was, for what only torch can do: gradients."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models import train
from models.network import Network
from models.recipe import Recipe

OURS = "net."  # how the exporter's module calls the network
EMBEDDING = "encoders.text.embed.weight"


def network(recipe: Recipe, graph: Path) -> Network:
    """The exporter keeps the names of weights but those of convolutions, which stand in the graph in their order, each
    with its batch norm folded into it. Raises ValueError where the graph is of another recipe.
    """
    proto = onnx.load(graph).graph
    weights = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in proto.initializer}
    named = {name.removeprefix(OURS): values for name, values in weights.items() if name.startswith(OURS)}
    convs = [node for node in proto.node if node.op_type == "Conv"]
    try:
        net = train.network(recipe, len(named[EMBEDDING]))
        found = net.load_state_dict(named, strict=False)
        modules = list(net.modules())
        layers = [module for module in modules if isinstance(module, nn.Conv2d)]
        norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
        for node, layer, norm in zip(convs, layers, norms, strict=True):
            fold(layer, norm, weights[node.input[1]], weights[node.input[2]])
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{graph} is not a graph of the recipe {recipe.name}") from error
    if found.unexpected_keys:
        raise ValueError(f"{graph}: weights of no layer: {', '.join(found.unexpected_keys)}")
    return net.eval()


@torch.no_grad()
def fold(layer: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> None:
    """A norm that adds the bias and does nothing else."""
    layer.weight.copy_(weight)
    norm.weight.fill_(1.0)
    norm.bias.copy_(bias)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
