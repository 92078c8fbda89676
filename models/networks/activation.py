"""The activations that a configuration can name."""

from torch import nn

from models.networks.config import Activation


def make_activation(name: Activation) -> nn.Module:
    """The activation of this name; `gelu` is the exact one."""
    makers: dict[str, type[nn.Module]] = {
        "swish": nn.SiLU,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
        "relu": nn.ReLU,
    }
    return makers[name]()
