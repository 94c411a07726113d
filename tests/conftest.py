"""For all tests: a busy machine is no failure, so properties have no deadline and may take long to draw."""

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
