"""The demo's model: a U-Net small enough to learn on two CPU cores while you watch.

After Ronneberger, Fischer & Brox, "U-Net: convolutional networks for biomedical image
segmentation" (2015), with padded convolutions, so that the output has the size of the input, and
group normalisation (Wu & He 2018), which does not depend on how small the batch is.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """Class logits for every pixel: `[B, in_channels, H, W]` to `[B, classes, H, W]`.

    While it trains, each batch is turned by a random multiple of 90° and half of the time mirrored
    on its way in, and the logits are turned back on their way out: a small data set is learned
    without being learned by heart, and labels and sample ids never notice.

    Args:
        in_channels: channels of the image.
        classes: channels of the output, background included.
        widths: channels at each resolution, the first at the image's own; each further one halves
            it, so `H` and `W` must be multiples of `2 ** (len(widths) - 1)`.
    """

    def __init__(
        self, in_channels: int = 1, classes: int = 4, widths: tuple[int, ...] = (8, 16, 32, 64)
    ) -> None:
        super().__init__()
        self.first = _block(in_channels, widths[0])
        self.down = nn.ModuleList(_block(narrow, wide) for narrow, wide in pairwise(widths))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 2, stride=2) for narrow, wide in pairwise(widths)
        )
        self.merge = nn.ModuleList(_block(2 * narrow, narrow) for narrow in widths[:-1])
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return self._logits(images)
        quarters, mirrored = (int(n) for n in torch.randint(4, (2,)) % torch.tensor([4, 2]))
        turned = torch.rot90(images.flip(-1) if mirrored else images, quarters, (-2, -1))
        logits = torch.rot90(self._logits(turned), -quarters, (-2, -1))
        return logits.flip(-1) if mirrored else logits

    def _logits(self, images: Tensor) -> Tensor:
        kept = [self.first(images)]
        for block in self.down:
            kept.append(block(nn.functional.max_pool2d(kept[-1], 2)))
        features: Tensor = kept.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            features = merge(torch.cat([kept.pop(), up(features)], 1))
        logits: Tensor = self.head(features)
        return logits


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.GroupNorm(4, width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.GroupNorm(4, width),
        nn.ReLU(inplace=True),
    )
