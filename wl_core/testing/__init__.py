"""Suites and helpers that a plugin's author tests his own work with.

They need pytest and hypothesis (``pip install 'wl[test]'``), which wl itself does not.
"""

from wl_core.testing.frames import FrameWriter
from wl_core.testing.projections import ProjectionConformance
from wl_core.testing.streams import streams

__all__ = ["FrameWriter", "ProjectionConformance", "streams"]
