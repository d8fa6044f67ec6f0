from wl_core.testing import ProjectionConformance
from wl_plugins.curves import Curves


class TestConformance(ProjectionConformance):
    projection = Curves
