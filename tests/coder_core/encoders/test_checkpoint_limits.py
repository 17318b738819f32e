"""A folder declares a model: more than its weights hold, or than anybody builds, is refused before it is built."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from coder_core.encoders.checkpoint_limits import MAX_LAYERS, MAX_WIDTH, check_config, without_hub
from coder_core.encoders.open_clip_loading import find_checkpoint
from coder_core.errors import InputError
from coder_core.limits import LIMITS, limit
from coder_core.specs import OpenClipEncoder

MODEL: dict[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49_408, "width": 512, "heads": 8, "layers": 12},
}
VIT_B_32_BYTES = 302_000_000
"""Of its weights in half precision."""


def refusal(folder: Path, model: Any, *, weights_bytes: int = VIT_B_32_BYTES) -> str:
    (folder / "open_clip_config.json").write_text(model if isinstance(model, str) else json.dumps({"model_cfg": model}))
    with (folder / "open_clip_model.safetensors").open("wb") as weights:
        weights.truncate(weights_bytes)
    with pytest.raises(InputError) as error:
        find_checkpoint(OpenClipEncoder(kind="open_clip", checkpoint=str(folder)))
    assert len(str(error.value)) < 600
    return error.value.problem


def changed(tower: str, **values: Any) -> dict[str, Any]:
    return {**MODEL, tower: {**MODEL[tower], **values}}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (changed("vision_cfg", layers=1_000), f"vision_cfg.layers 1000, and {MAX_LAYERS} are allowed"),
        (changed("vision_cfg", layers=[1, 2, 10_000, 1]), "vision_cfg.layers 10000"),
        (changed("text_cfg", width=1_000_000), f"text_cfg.width 1000000, and {MAX_WIDTH} are allowed"),
        (changed("text_cfg", vocab_size=10**12), "text_cfg.vocab_size 1000000000000"),
        (changed("text_cfg", context_length=10**9), "text_cfg.context_length 1000000000"),
        (changed("vision_cfg", image_size=10**6), "vision_cfg.image_size 1000000"),
        (changed("vision_cfg", width=-1), "vision_cfg.width -1"),
        ({**MODEL, "embed_dim": 10**9}, "embed_dim 1000000000"),
        (changed("vision_cfg", layers=200, width=8_192), "numbers, and the weights have 302,000,000 bytes"),
        (changed("text_cfg", vocab_size=3_000_000), "numbers, and the weights have 302,000,000 bytes"),
        ('{"model_cfg": ' + "[" * 100_000, "nested deeper"),
        ('{"model_cfg": {"embed_dim": ' + "9" * 4_000 + "}}", "an integer of 4000 digits"),
        ('{"model_cfg": {"embed_dim": NaN}}', "NaN"),
        ('{"model_cfg": 1, "model_cfg": 2}', "twice"),
        (" " * 1_000_001, "1000001 bytes"),
        ("[]", "no JSON object"),
    ],
)
def test_a_configuration_beyond_its_limits_is_refused(tmp_path: Path, model: Any, reason: str) -> None:
    assert reason in refusal(tmp_path, model)


def test_a_model_and_its_weights_pass(tmp_path: Path) -> None:
    weights = tmp_path / "w"
    with weights.open("wb") as file:
        file.truncate(VIT_B_32_BYTES)
    check_config(MODEL, weights, "here")


def test_nothing_in_a_folder_sends_anybody_to_a_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants, hf_hub_download

    asked: list[Any] = []

    def refuse(*address: Any) -> None:
        asked.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = constants.HF_HUB_OFFLINE
    with without_hub(is_folder=True), pytest.raises(Exception, match=r"(?i)offline|cache|local"):
        hf_hub_download("attacker/model", "config.json", cache_dir=str(tmp_path))
    assert asked == []
    assert before == constants.HF_HUB_OFFLINE


def test_a_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "CODER_MAX_OF_A_TEST", "nothing")
    assert limit("CODER_MAX_OF_A_TEST", 3) == 3
    monkeypatch.setenv("CODER_MAX_OF_A_TEST", "12")
    assert limit("CODER_MAX_OF_A_TEST", 3) == 12
    for wrong in ("0", "-1", "1e3", "x", "9" * 40):
        monkeypatch.setenv("CODER_MAX_OF_A_TEST", wrong)
        with pytest.raises(Exception, match="CODER_MAX_OF_A_TEST: expected a positive integer"):
            limit("CODER_MAX_OF_A_TEST", 3)
