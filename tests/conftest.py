"""Fixtures that every test may ask for."""

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)  # a slow example is no failure; pytest-timeout ends a hang
settings.load_profile("shared machine")

pytest_plugins = [
    "tests.fixtures_inputs",
    "tests.fixtures_prefect",
    "tests.fixtures_deployment",
    "tests.fixtures_s3",
]
