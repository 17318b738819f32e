"""A compiled tower gives what the plain one gives, in passes of every size; without a compiler it goes on as it is."""

import logging
import shutil

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from coder_core.encoders.compiled import Forward, compiled


@pytest.fixture
def tower() -> Forward:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 4)).eval()

    def forward(inputs: dict[str, Tensor]) -> Tensor:
        made: Tensor = layers(inputs["pixels"])
        return made

    return forward


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_smaller_pass_is_filled_up_and_not_compiled_anew(tower: Forward) -> None:
    torch._dynamo.reset()
    counters.clear()
    fast = compiled(tower, "default")
    assert compiled(fast, "default") is fast
    with torch.inference_mode():
        inputs = torch.randn(7, 6)
        expected = tower({"pixels": inputs}).numpy()
        for rows in (5, 3, 1, 5):
            assert np.allclose(fast({"pixels": inputs[:rows]}).numpy(), expected[:rows], atol=1e-6)
    assert counters["stats"]["unique_graphs"] == 1


def test_without_a_compiler_the_tower_goes_on_as_it_is(
    tower: Forward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("/nowhere/g++",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    fast, inputs = compiled(tower, "default"), torch.randn(3, 6)
    with caplog.at_level(logging.WARNING), torch.inference_mode():
        for rows in (3, 2):
            asked = {"pixels": inputs[:rows]}
            assert np.array_equal(fast(asked).numpy(), tower(asked).numpy())
    assert [record.message.partition(":")[0] for record in caplog.records if record.name.startswith("coder_core")] == [
        "the image tower cannot be compiled, and goes on as it is"
    ]
