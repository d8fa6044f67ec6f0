"""Segmentation with lists of instance masks: a collate, and Dice and BCE at both granularities.

For anyone's use: it needs torch and nothing else of wl than its errors.
"""

from wl_plugins.segmentation.collate import seg_collate
from wl_plugins.segmentation.criterions import (
    PerInstanceBCE,
    PerInstanceDice,
    PerSampleBCE,
    PerSampleDice,
)
from wl_plugins.segmentation.instances import instance_batch_idx

__all__ = [
    "PerInstanceBCE",
    "PerInstanceDice",
    "PerSampleBCE",
    "PerSampleDice",
    "instance_batch_idx",
    "seg_collate",
]
