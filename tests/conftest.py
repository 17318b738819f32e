"""Fixtures that every test may ask for."""

pytest_plugins = [
    "tests.fixtures_inputs",
    "tests.fixtures_prefect",
    "tests.fixtures_deployment",
    "tests.fixtures_s3",
]
