"""Every bench can be loaded: a name that has moved is seen here, and not by whoever measures next."""

import importlib
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
ELSEWHERE = {"peer_clip_benchmark", "peer_daft", "peer_ray"}
"""Run in the environments of other tools, by `bench/peers.py`."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({path.stem for path in BENCH.glob("*.py")} - ELSEWHERE))
def test_a_bench_finds_all_that_it_imports(name: str) -> None:
    assert importlib.import_module(f"bench.{name}").__doc__
