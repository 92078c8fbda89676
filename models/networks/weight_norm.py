"""A pointwise projection whose rows are kept as a direction and a length.

Legend: B batch, I values in, O values out, F frames.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class WeightNormProjection(nn.Module):
    """Map [B, I, F] to [B, O, F], frame by frame; the weight is `gain * direction / |direction|`.

    The parameters have the shapes of a weight-normed 1x1 convolution, as published.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        initial = nn.Conv1d(inputs, outputs, kernel_size=1)
        assert initial.bias is not None
        self.direction = nn.Parameter(initial.weight.detach().clone())
        self.gain = nn.Parameter(self.direction.detach().norm(dim=(1, 2), keepdim=True))
        self.bias = nn.Parameter(initial.bias.detach().clone())

    def forward(self, values: Tensor) -> Tensor:
        """[B, I, F] to [B, O, F]."""
        weight = self.direction * (self.gain / self.direction.norm(dim=(1, 2), keepdim=True))
        return functional.conv1d(values, weight, self.bias)


def projection(inputs: int, hidden: int, outputs: int, layers: int) -> nn.Sequential:
    """`layers` projections with ReLU between them, [B, inputs, F] to [B, outputs, F]."""
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    steps: list[nn.Module] = []
    for index in range(layers):
        if index:
            steps.append(nn.ReLU())
        steps.append(WeightNormProjection(widths[index], widths[index + 1]))
    return nn.Sequential(*steps)


def unit(values: Tensor, dim: int = -1) -> Tensor:
    """`values` scaled to length 1 along `dim`; zeros stay zeros."""
    return functional.normalize(values, dim=dim)


def straight_through(values: Tensor, replaced: Tensor) -> Tensor:
    """`replaced` in the forward pass, the gradient of `values` in the backward pass."""
    return values + (replaced - values).detach()


def mean_square(left: Tensor, right: Tensor) -> Tensor:
    """Mean squared difference, a scalar."""
    return torch.mean((left - right) ** 2)
