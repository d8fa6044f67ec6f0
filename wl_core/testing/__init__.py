"""Suites that a plugin's author runs on his own work, by subclassing one class in his tests.

They need pytest and hypothesis (``pip install 'wl[test]'``), which wl itself does not.
"""

from wl_core.testing.projections import ProjectionConformance
from wl_core.testing.streams import streams

__all__ = ["ProjectionConformance", "streams"]
