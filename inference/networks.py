"""Network definitions: configuration -> torch module. Only ``inference.device`` and training scripts load this.

``FilmNet`` is EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946; the Lite variant has no squeeze-and-excitation and
uses ReLU6), written for one gray channel and a head of named logits. Strides take the symmetric-or-right padding of
the published weights ("same" as TensorFlow pads it), so that those can be a starting point.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

# expansion, kernel, first stride, channels out, repeats
_STAGES: Final = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM: Final = 32
FEATURES: Final = 1280


class SamePadded(nn.Conv2d):
    """A convolution whose output has ``ceil(size / stride)`` rows; a missing half pixel is padded right and below."""

    def forward(self, input: Tensor) -> Tensor:
        stride, reach = self.stride[0], self.kernel_size[0]
        pads: list[int] = []
        for size in (input.shape[-1], input.shape[-2]):
            need = max((-(-size // stride) - 1) * stride + reach - size, 0)
            pads += [need // 2, need - need // 2]
        return super().forward(nn.functional.pad(input, pads) if any(pads) else input)


def _convolved(inputs: int, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False) -> nn.Sequential:
    conv = SamePadded(inputs, outputs, kernel, stride, groups=inputs if depthwise else 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; added to its input where the shapes agree (``drop``: stochastic depth)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int, drop: float) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _convolved(inputs, inner, 1) if expansion != 1 else None
        self.filter = _convolved(inner, inner, kernel, stride, depthwise=True)
        self.project = _convolved(inner, outputs, 1)
        self.act = nn.ReLU6()
        self.skips = stride == 1 and inputs == outputs
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.act(self.expand(x))
        y = self.project(self.act(self.filter(y)))
        if not self.skips:
            return y
        if self.training and self.drop > 0:
            kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.drop
            y = y * kept / (1 - self.drop)
        return x + y


class FilmNet(nn.Module):
    """[batch, 1, row, column], about -1..1 -> (logits [batch, outputs], features [batch, 1280])."""

    def __init__(self, outputs: int, *, dropout: float = 0.2, drop_path: float = 0.0) -> None:
        super().__init__()
        self.stem = _convolved(1, _STEM, 3, 2)
        self.act = nn.ReLU6()
        blocks: list[nn.Module] = []
        total, channels = sum(stage[-1] for stage in _STAGES), _STEM
        for expansion, kernel, stride, width, repeats in _STAGES:
            for index in range(repeats):
                drop = drop_path * len(blocks) / total
                blocks.append(InvertedResidual(channels, width, expansion, kernel, stride if not index else 1, drop))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.top = _convolved(channels, FEATURES, 1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURES, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.act(self.top(self.blocks(self.act(self.stem(x)))))
        features = maps.mean(dim=(2, 3))
        return self.head(self.dropout(features)), features
