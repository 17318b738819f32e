"""Models that cannot be loaded: each is one explained error, and nothing in them is run."""

import json
import logging

import pytest
import torch
from open_clip import pretrained
from PIL import Image

from tests.coder_core.encoders.conftest import PREPROCESS, load, write_model

from .test_open_clip_loading import CONFIG, WEIGHTS, Bomb, identity, refusal

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("checksum"), TypeError("no length")])
def test_published_weights_without_a_network_are_an_explained_error(registered, monkeypatch, error):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(pretrained, "download_pretrained", fail)
    recipe = {"url": "https://nowhere.invalid/weights.pt", **PREPROCESS}
    monkeypatch.setitem(pretrained._PRETRAINED, registered, {"tiny_tag": recipe})
    message = refusal(lambda: identity("tiny_tag", registered))
    assert message.startswith(f"{registered}/tiny_tag: the published weights could not be fetched")
    assert "give the file as encoder.checkpoint" in message


@pytest.mark.parametrize(("name", "hint"), [("ViT-B/32", "Did you mean 'ViT-B-32'"), ("hf-hub:a/b", ""), ("Tiny", "")])
def test_an_unknown_architecture_names_the_nearest(folder, name, hint):
    message = refusal(lambda: identity(folder / WEIGHTS, name))
    assert f"encoder.architecture: {name}" in message
    assert hint in message


@pytest.mark.parametrize(
    ("checkpoint", "problem"),
    [
        ("absent/folder", "no such folder or weights file"),
        ("absent.safetensors", "no such folder or weights file"),
        ("absent", "encoder.architecture is needed"),
        ("s3://bucket/model", "loaded from this machine's disk"),
    ],
)
def test_what_is_not_there_is_named(checkpoint, problem):
    message = refusal(lambda: identity(checkpoint))
    assert checkpoint in message
    assert problem in message


@pytest.mark.parametrize(("name", "problem"), [(CONFIG, f"no {CONFIG}"), (WEIGHTS, "no weights")])
def test_a_folder_without_a_part_is_refused(folder, name, problem):
    (folder / name).unlink()
    assert problem in refusal(lambda: identity(folder))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"model_cfg": {}}',
        b'{"model_cfg": []}',
        b'{"model_cfg": {"embed_dim": "x", "text_cfg": {}}}',
        b'{"model_cfg": {"embed_dim": 3}}',
        b'{"model_cfg": {"embed_dim": 3, "text_cfg": 3}}',
    ],
)
def test_a_configuration_that_is_none_is_refused(folder, content):
    (folder / CONFIG).write_bytes(content)
    message = refusal(lambda: identity(folder))
    assert CONFIG in message
    said = ("no configuration of open_clip", "not JSON", "not UTF-8", "no JSON object")
    assert any(words in message for words in said), message


@pytest.mark.parametrize(
    "change",
    [
        {"vision_cfg": {"width": 64}},
        {"text_cfg": {"layers": 1}},
        {"text_cfg": {"no_such_key": 1}},
        {"vision_cfg": {"image_size": "x"}},
        {"embed_dim": 8},
        {"embed_dim": -1},
        {"no_such_key": 1},
        {"text_cfg": {"hf_tokenizer_name": "no/such-tokenizer"}},
    ],
)
def test_weights_of_another_architecture_are_refused(folder, change):
    config = json.loads((folder / CONFIG).read_text())
    for key, value in change.items():
        config["model_cfg"][key] = {**config["model_cfg"][key], **value} if isinstance(value, dict) else value
    (folder / CONFIG).write_text(json.dumps(config))
    assert str(folder) in refusal(lambda: load(folder))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin", "w.pth"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights", b"\x80\x02]q\x00.", b"PK\x03\x04", b"\x08" + b"\x00" * 7 + b"{}      "]
)
def test_files_that_hold_no_weights_are_refused(folder, name, content):
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(content)
    message = refusal(lambda: load(folder))
    assert message.startswith(f"{folder / name}: these weights cannot be loaded")


@pytest.mark.parametrize("content", [{}, [], {"state_dict": {}}, {"state_dict": 3}, 3])
def test_pickles_that_hold_no_weights_are_refused(folder, content):
    (folder / WEIGHTS).unlink()
    torch.save(content, folder / "w.pt")
    assert "cannot be loaded" in refusal(lambda: load(folder))


def test_truncated_weights_are_refused(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])
    assert "cannot be loaded" in refusal(lambda: load(folder))


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.pth"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(folder, tmp_path, name, nested):
    (folder / WEIGHTS).unlink()
    trace = tmp_path / "executed"
    bomb = Bomb(trace)
    torch.save({"state_dict": {"logit_scale": bomb}} if nested else bomb, folder / name)
    assert "cannot be loaded" in refusal(lambda: load(folder))
    assert not trace.exists()
    torch.load(folder / name, weights_only=False)
    assert trace.exists()


def test_open_clip_does_not_set_up_logging(folder, caplog):
    handlers, filters = list(logging.getLogger().handlers), list(logging.getLogger().filters)
    with caplog.at_level(logging.DEBUG):
        load(folder)
    assert (logging.getLogger().handlers, logging.getLogger().filters) == (handlers, filters)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_another_preprocessing_size_than_the_models_is_not_followed(tmp_path):
    encoder = load(write_model(tmp_path / "model", preprocess={**PREPROCESS, "size": 8}))
    assert encoder.prepare_image(Image.new("RGB", (50, 60))).shape == (32, 32, 3)
