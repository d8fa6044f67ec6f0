from wl_core.testing import ProjectionConformance
from wl_plugins.history import History


class TestConformance(ProjectionConformance):
    projection = History
