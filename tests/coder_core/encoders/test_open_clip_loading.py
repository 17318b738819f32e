"""Which model a spec means, what identifies it, and that what cannot be loaded says where and what to do."""

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip import pretrained
from open_clip.model import QuickGELU
from PIL import Image
from safetensors.torch import load_file, save_file

from coder_core.encoders.open_clip_loading import WEIGHT_SUFFIXES, find_checkpoint, identify_open_clip
from coder_core.errors import CheckpointError
from tests.coder_core.encoders.conftest import DIM, PREPROCESS, load, model_config, random_weights, spec_of, write_model

pytestmark = pytest.mark.slow

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
SIDE = "a photo of a wren"


def identity(checkpoint, architecture=None):
    return identify_open_clip(spec_of(checkpoint, architecture))


def refusal(call):
    with pytest.raises(CheckpointError) as caught:
        call()
    assert caught.value.place
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Bomb:
    """A pickle that leaves a trace when it is executed."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_the_identity_says_dim_and_name(folder):
    found = identity(folder)
    assert (found.dim, found.label) == (DIM, "model")
    assert load(folder).encode_texts(["wren"]).shape == (1, found.dim)


def test_the_identity_is_content_and_not_place(folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    os.utime(moved / WEIGHTS, ns=(1, 1))
    assert identity(moved) == identity(folder)


def test_the_identity_changes_with_weights_and_with_config(folder):
    found = [identity(folder).key]
    state = load_file(folder / WEIGHTS)
    state["logit_scale"] = state["logit_scale"] + 1
    save_file(state, folder / WEIGHTS)
    found.append(identity(folder).key)
    config = json.loads((folder / CONFIG).read_text())
    config["preprocess_cfg"]["mean"][0] += 0.1
    (folder / CONFIG).write_text(json.dumps(config))
    found.append(identity(folder).key)
    assert len(set(found)) == 3


def test_the_identity_changes_with_the_files_of_a_tokenizer(folder):
    config = json.loads((folder / CONFIG).read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "x/y"
    (folder / CONFIG).write_text(json.dumps(config))
    found = [identity(folder).key]
    (folder / "tokenizer.json").write_text("{}")
    found.append(identity(folder).key)
    (folder / "tokenizer.json").write_text("[]")
    found.append(identity(folder).key)
    assert len(set(found)) == 3


def test_what_else_lies_in_a_folder_does_not_matter(folder):
    before = identity(folder)
    (folder / "training.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"weights in another layout")
    (folder / "model.safetensors").write_bytes(b"weights in another layout")
    assert identity(folder) == before
    assert load(folder).dim == DIM


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_the_weights_that_are_hashed_are_those_that_are_loaded(folder, suffix):
    state, other = load_file(folder / WEIGHTS), random_weights(model_config(), seed=1)
    expected = load(folder).encode_texts([SIDE])
    (folder / WEIGHTS).unlink()
    only = folder / f"weights{suffix}"
    save_file(state, only) if suffix == ".safetensors" else torch.save(state, only)
    assert find_checkpoint(spec_of(folder)).weights == only
    assert np.allclose(load(folder).encode_texts([SIDE]), expected, atol=1e-6)
    save_file(other, folder / WEIGHTS)
    assert find_checkpoint(spec_of(folder)).weights == folder / WEIGHTS
    assert not np.allclose(load(folder).encode_texts([SIDE]), expected, atol=1e-2)


def test_several_weights_without_a_preference_are_refused(folder):
    (folder / WEIGHTS).rename(folder / "a.safetensors")
    shutil.copy(folder / "a.safetensors", folder / "b.safetensors")
    assert "several weights files: a.safetensors, b.safetensors" in refusal(lambda: identity(folder))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_a_weights_file_needs_its_architecture(registered, folder, suffix, tmp_path):
    state, path = load_file(folder / WEIGHTS), tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    assert np.allclose(load(path, registered).encode_texts([SIDE]), load(folder).encode_texts([SIDE]), atol=1e-6)
    assert identity(path, registered).label == f"Tiny-B-16/weights{suffix}"
    assert "encoder.architecture is needed" in refusal(lambda: identity(path))


@pytest.fixture
def published(registered, folder, monkeypatch):
    """A tag of the registered architecture, as open_clip lists those that are published."""
    recipe = {"file": str(folder / WEIGHTS), **PREPROCESS, "quick_gelu": True}
    monkeypatch.setitem(pretrained._PRETRAINED, registered, {"tiny_tag": recipe})
    return registered


def test_a_published_tag_brings_its_activation_and_preprocessing(published):
    encoder, image = load("tiny_tag", published), Image.effect_noise((50, 30), 90).convert("RGB")
    reference, preprocess = open_clip.create_model_from_pretrained(published, "tiny_tag", force_quick_gelu=True)
    tokens = open_clip.get_tokenizer(published)([SIDE])
    with torch.no_grad():
        text = reference.encode_text(tokens, normalize=True).numpy()
        picture = reference.encode_image(preprocess(image)[None], normalize=True).numpy()
    assert any(isinstance(module, QuickGELU) for module in encoder._clip.model.modules())
    assert np.allclose(encoder.encode_texts([SIDE]), text, atol=1e-5)
    assert np.allclose(encoder.encode_images([encoder.prepare_image(image)]), picture, atol=1e-5)


def test_a_tag_is_not_its_bare_file(published, folder):
    assert identity("tiny_tag", published).label == "Tiny-B-16/tiny_tag"
    assert identity("tiny_tag", published).key != identity(folder / WEIGHTS, published).key


def test_an_unknown_tag_names_those_there_are(published):
    message = refusal(lambda: identity("tiny_teg", published))
    assert "encoder.checkpoint: tiny_teg" in message
    assert "Tags are: tiny_tag." in message
    assert "laion2b_s34b_b79k" in refusal(lambda: identity("no_such_tag", "ViT-B-32"))


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("checksum"), TypeError("no length")])
def test_published_weights_without_a_network_are_an_explained_error(monkeypatch, error):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(pretrained, "download_pretrained", fail)
    message = refusal(lambda: identity("openai", "ViT-B-32"))
    assert message.startswith("ViT-B-32/openai: the published weights could not be fetched")
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
    assert "no configuration of open_clip" in message


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
    assert encoder.prepare_image(Image.new("RGB", (50, 60))).shape == (3, 32, 32)
