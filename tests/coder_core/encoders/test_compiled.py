"""A compiled tower gives what the plain one gives, in passes of every size; without a compiler it goes on as it is."""

import logging
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from coder_core.encoders.compiled import Forward, compiled
from coder_core.encoders.open_clip_encoder import OpenClip
from tests.coder_core.encoders.conftest import spec_of, write_model


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


def test_without_a_compiler_the_tower_goes_on_as_it_is(tower: Forward, caplog: pytest.LogCaptureFixture) -> None:
    from torch._inductor import config

    torch._dynamo.reset()
    # Torch's own way to change them: what monkeypatch puts back is no setting of torch any more.
    nothing_found = config.patch({"cpp.cxx": ("/nowhere/g++",), "fx_graph_cache": False})
    fast, inputs = compiled(tower, "default"), torch.randn(3, 6)
    with caplog.at_level(logging.WARNING), torch.inference_mode(), nothing_found:
        for rows in (3, 2):
            asked = {"pixels": inputs[:rows]}
            assert np.array_equal(fast(asked).numpy(), tower(asked).numpy())
    (said,) = (record.message for record in caplog.records if record.name.startswith("coder_core"))
    assert said.startswith("the image tower cannot be compiled, and goes on as it is: ")
    assert "C++ compiler" in said


def test_halves_of_a_pass_that_did_not_fit_are_not_filled_up_to_it(
    tower: Forward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled is of no account here: the tower itself stands in for it."""
    sizes: list[int] = []

    def narrow(inputs: dict[str, Tensor]) -> Tensor:
        sizes.append(len(inputs["pixels"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("no room")
        return tower(inputs)

    monkeypatch.setattr(torch, "compile", lambda forward, **_: forward)
    fast, inputs = compiled(narrow, "default"), torch.randn(6, 6)
    with torch.inference_mode():
        with pytest.raises(torch.OutOfMemoryError):
            fast({"pixels": inputs})
        for rows in (3, 2):
            assert torch.allclose(fast({"pixels": inputs[:rows]}), tower({"pixels": inputs[:rows]}))
    assert sizes == [6, 3, 3]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.compile` as far as its front: what it makes of Python, and how often; no compiler is asked."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counters.clear()


@pytest.mark.usefixtures("traced")
def test_a_tower_is_one_program(tmp_path: Path) -> None:
    spec = spec_of(write_model(tmp_path / "model"))
    plain, encoder = (OpenClip(spec, device="cpu") for _ in range(2))
    pixels = list(torch.randint(0, 255, (4, 32, 32, 3), dtype=torch.uint8))
    expected = plain.encode_images(pixels)
    encoder.compile_images("default")
    for _ in range(3):
        assert np.allclose(encoder.encode_images(pixels), expected, atol=1e-6)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@pytest.mark.usefixtures("traced")
def test_towers_of_many_devices_are_all_compiled() -> None:
    """Torch compiles one function eight times, and goes on without a word; here sizes stand in for devices."""
    devices = 10

    def tower_of(size: int) -> Forward:
        layer = nn.Linear(size, 2)

        def forward(inputs: dict[str, Tensor]) -> Tensor:
            made: Tensor = layer(inputs["pixels"])
            return made

        return forward

    with torch.inference_mode():
        for size in range(1, devices + 1):
            compiled(tower_of(size), "default")({"pixels": torch.randn(2, size)})
    assert counters["stats"]["unique_graphs"] == devices
