from wl_core.testing import ProjectionConformance
from wl_plugins.sample_view import SampleView


class TestConformance(ProjectionConformance):
    projection = SampleView
