from wl_core.testing import ProjectionConformance
from wl_plugins.instance_view import InstanceView


class TestConformance(ProjectionConformance):
    projection = InstanceView
