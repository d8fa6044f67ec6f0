"""The demo's data set: real nuclei, one list of instance masks for each tile.

What the tiles are and how they were cut is in `tiles`; here they become tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from wl_plugins.demo.tiles import Metadata, Split, tiles

Sample = tuple[Tensor | None, str, list[Tensor] | None, Metadata | None]


class NucleiTiles(Dataset[Sample]):
    """Tiles of 128 x 128 pixels: 12 with `split="train"`, 4 with `split="test"`.

    An item is `(image, uid, instances, metadata)`: the image float32 `[1, 128, 128]` in 0 … 1, the
    id (`"nuclei_r0_c3"`), a list of masks uint8 `[128, 128]` whose pixel value is the class id
    (1 small, 2 medium, 3 large), and a dict of what is known of the tile.
    """

    def __init__(self, split: Split) -> None:
        self.split = split
        self._tiles = tiles(split)

    def __len__(self) -> int:
        return len(self._tiles)

    def __getitem__(self, idx: int) -> Sample:
        return self.get_items(idx)

    def get_items(
        self,
        idx: int,
        include_image: bool = True,
        include_instances: bool = True,
        include_metadata: bool = True,
    ) -> Sample:
        """One item of which only the asked parts are made; the others are None.

        Raises:
            IndexError: `idx` is not in the data set.
        """
        tile = self._tiles[idx]
        return (
            torch.from_numpy(tile.image.copy())[None] if include_image else None,
            tile.uid,
            [torch.from_numpy(mask.copy()) for mask in tile.instances]
            if include_instances
            else None,
            dict(tile.metadata) if include_metadata else None,
        )
