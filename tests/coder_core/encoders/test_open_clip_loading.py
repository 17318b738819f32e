"""Which model a spec means, what identifies it, and that what cannot be loaded says where and what to do."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from open_clip import pretrained
from open_clip.model import QuickGELU
from PIL import Image
from safetensors.torch import load_file, save_file

from coder_core.encoders.open_clip_config import (
    PREPROCESS_DEFAULTS,
    PREPROCESS_PRESETS,
    TEXT_DEFAULTS,
    VISION_DEFAULTS,
)
from coder_core.encoders.open_clip_loading import WEIGHT_SUFFIXES, find_checkpoint, identify_open_clip
from coder_core.errors import CheckpointError
from tests.coder_core.encoders.conftest import DIM, PREPROCESS, load, model_config, random_weights, spec_of, write_model

pytestmark = pytest.mark.slow

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
SIDE = "a photo of a wren"


def identity(checkpoint, architecture=None, **settings):
    return identify_open_clip(spec_of(checkpoint, architecture, **settings))


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
    assert "the folder holds no tokenizer" in refusal(lambda: identity(folder))
    found = []
    for content in ("{}", "[]"):
        (folder / "tokenizer.json").write_text(content)
        found.append(identity(folder).key)
    (folder / "special_tokens_map.json").write_text("{}")
    found.append(identity(folder).key)
    (folder / "preprocessor_config.json").write_text("{}")
    assert identity(folder).key == found[-1], "what belongs to images is none of the tokenizer's"
    assert len(set(found)) == 3


def test_what_else_lies_in_a_folder_does_not_matter(folder):
    before = identity(folder)
    (folder / "training.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"weights in another layout")
    (folder / "model.safetensors").write_bytes(b"weights in another layout")
    assert identity(folder) == before
    assert load(folder).encode_texts([SIDE]).shape == (1, DIM)


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


def save_bare(state, path):
    """As the weights alone, or as open_clip's training keeps them beside an optimizer."""
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.name.startswith("epoch"):
        trained = {"epoch": 1, "name": "x", "state_dict": {f"module.{name}": value for name, value in state.items()}}
        torch.save({**trained, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []}}, path)
    else:
        torch.save(state, path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights.bin", "epoch_1.pt"])
def test_a_bare_file_with_its_recipe_is_the_folder(registered, folder, name, tmp_path):
    path = tmp_path / name
    save_bare(load_file(folder / WEIGHTS), path)
    said = {"quick_gelu": False, "preprocess": {**PREPROCESS, "resize_mode": "squash"}}
    bare, whole = load(path, registered, **said), load(folder)
    assert identity(path, registered, **said)._replace(label="") == identity(folder)._replace(label="")
    assert identity(path, registered, **said).label == f"Tiny-B-16/{name}"
    picture = Image.effect_noise((50, 30), 90).convert("RGB")
    assert np.array_equal(bare.encode_texts([SIDE]), whole.encode_texts([SIDE]))
    images = [[encoder.prepare_image(picture)] for encoder in (bare, whole)]
    assert np.array_equal(bare.encode_images(images[0]), whole.encode_images(images[1]))
    assert "encoder.architecture is needed" in refusal(lambda: identity(path, **said))


def test_half_precision_and_a_scale_with_a_dimension_are_the_same_weights(folder):
    state = {name: value.half() for name, value in load_file(folder / WEIGHTS).items()}
    save_file(state, folder / WEIGHTS)
    found = [identity(folder)]
    save_file({name: value.float() for name, value in state.items()}, folder / WEIGHTS)
    found.append(identity(folder))
    save_file({**state, "logit_scale": state["logit_scale"].reshape(1)}, folder / WEIGHTS)
    found.append(identity(folder))
    assert len(set(found)) == 1
    bfloats = {name: value.bfloat16() for name, value in state.items()}
    save_file(bfloats, folder / WEIGHTS)
    found.append(identity(folder))
    save_file({name: value.float() for name, value in bfloats.items()}, folder / WEIGHTS)
    assert identity(folder) == found[-1] != found[0]


def test_the_scale_of_logits_is_the_models_own(folder):
    state = load_file(folder / WEIGHTS)
    save_file({**state, "logit_scale": torch.tensor(2.0), "logit_bias": torch.tensor(-10.0)}, folder / WEIGHTS)
    assert identity(folder).logit_scale == pytest.approx(np.exp(2.0))
    assert identity(folder).logit_bias == -10.0


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({}, "encoder.quick_gelu and encoder.preprocess are needed"),
        ({"preprocess": "openai"}, "encoder.quick_gelu is needed"),
        ({"quick_gelu": True}, "encoder.preprocess is needed"),
    ],
)
def test_a_bare_file_is_not_guessed_about(registered, folder, tmp_path, said, asked):
    path = shutil.copy(folder / WEIGHTS, tmp_path / "bare.safetensors")
    assert asked in refusal(lambda: identity(path, registered, **said))


def test_a_config_beside_the_file_says_it_all(folder):
    shutil.copy(folder / WEIGHTS, folder / "other.safetensors")
    found = identity(folder / "other.safetensors")
    assert (found.key, found.label) == (identity(folder).key, "other.safetensors")
    assert identity(folder / "other.safetensors", quick_gelu=True).key != found.key
    assert "another architecture than ViT-B-32" in refusal(lambda: identity(folder / "other.safetensors", "ViT-B-32"))


def test_a_file_under_its_published_hash_is_known(registered, folder, tmp_path, monkeypatch):
    path = Path(shutil.copy(folder / WEIGHTS, tmp_path / "bare.safetensors"))
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    recipe = {"url": f"https://x/mlfoundations/y/tiny-{digits}.safetensors", **PREPROCESS, "quick_gelu": True}
    monkeypatch.setitem(pretrained._PRETRAINED, registered, {"tiny_tag": recipe})
    found = identity(path, registered)
    said = {"quick_gelu": True, "preprocess": {**PREPROCESS, "resize_mode": "squash"}}
    assert found == identity(path, registered, **said)


def test_the_parameters_of_a_training_say_how_it_was_done(registered, folder, tmp_path):
    checkpoints = tmp_path / "logs" / "checkpoints"
    checkpoints.mkdir(parents=True)
    save_bare(load_file(folder / WEIGHTS), checkpoints / "epoch_1.pt")
    told = {"model": registered, "pretrained": "", "force_quick_gelu": "False", "image_mean": "[0.4, 0.5, 0.6]"}
    told |= {"image_std": "(0.2, 0.3, 0.4)", "image_interpolation": "bilinear", "image_resize_mode": "squash"}
    (checkpoints.parent / "params.txt").write_text("".join(f"{name}: {value}\n" for name, value in told.items()))
    assert identity(checkpoints / "epoch_1.pt").key == identity(folder).key
    gelu = (checkpoints.parent / "params.txt").read_text().replace("gelu: False", "gelu: True")
    (checkpoints.parent / "params.txt").write_text(gelu)
    assert identity(checkpoints / "epoch_1.pt").key != identity(folder).key
    unknown = gelu.replace("pretrained: ", "pretrained: /some/file.pt")
    (checkpoints.parent / "params.txt").write_text(unknown)
    assert "encoder.preprocess" in refusal(lambda: identity(checkpoints / "epoch_1.pt"))


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


def test_a_tag_is_its_file_with_its_recipe(published, folder, tmp_path):
    assert identity("tiny_tag", published).label == "Tiny-B-16/tiny_tag"
    bare = shutil.copy(folder / WEIGHTS, tmp_path / "bare.safetensors")
    said = {"quick_gelu": True, "preprocess": {**PREPROCESS, "resize_mode": "squash"}}
    assert identity("tiny_tag", published).key == identity(bare, published, **said).key
    assert identity("tiny_tag", published).key != identity(folder).key, "another activation"


def put_on_hub(folder, cache, name, revision="main", commit="a" * 40):
    """Lay a folder into a cache of the hub, as a download leaves it."""
    place = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / revision).write_text(commit)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_model_of_the_hub_is_its_folder(folder, hub):
    put_on_hub(folder, hub, "some/model")
    put_on_hub(write_model(folder.parent / "other", seed=1), hub, "some/model", "v1", "b" * 40)
    assert identity("hf-hub:some/model").key == identity(folder).key
    assert identity("hf-hub:some/model").label == "some/model"
    assert identity("hf-hub:some/model@v1").key == identity(folder.parent / "other").key
    assert np.array_equal(load("hf-hub:some/model").encode_texts([SIDE]), load(folder).encode_texts([SIDE]))


@pytest.mark.parametrize(
    ("published_as", "held"),
    [("open_clip_pytorch_model.bin", WEIGHTS), ("other.bin", "other.safetensors"), ("other.pt", "other.pt")],
)
def test_a_tag_of_the_hub_is_the_file_that_open_clip_takes_in_the_cache(
    registered, folder, hub, monkeypatch, published_as, held
):
    """Without a network; of two that hold the same, the safetensors; and a tag that is nowhere is told at once."""
    monkeypatch.setattr(pretrained, "download_pretrained", None)  # it would ask a network for a minute
    name = published_as.removesuffix("open_clip_pytorch_model.bin")
    recipe = {"hf_hub": f"some/tiny/{name}", **PREPROCESS}
    monkeypatch.setitem(pretrained._PRETRAINED, registered, {"tiny_tag": recipe})
    assert "could not be fetched from the hub" in refusal(lambda: identity("tiny_tag", registered))
    files = folder.parent / "files"
    files.mkdir()
    (files / published_as).write_text("not this one")
    if held.endswith(".pt"):
        torch.save(load_file(folder / WEIGHTS), files / held)
    else:
        shutil.copy(folder / WEIGHTS, files / held)
    put_on_hub(files, hub, "some/tiny")
    said = {"quick_gelu": False, "preprocess": {**PREPROCESS, "resize_mode": "squash"}}
    assert identity("tiny_tag", registered).key == identity(folder / WEIGHTS, registered, **said).key


@pytest.mark.parametrize("name", ["hf-hub:no/such", "hf-hub:no/such@v1", "hf-hub:a", "hf-hub:"])
@pytest.mark.usefixtures("hub")
def test_a_model_that_the_hub_does_not_give_is_named(name):
    message = refusal(lambda: identity(name))
    assert message.startswith(f"encoder.checkpoint: {name}: ")
    assert "could not be fetched from the hub" in message


def test_defaults_that_are_written_out_say_nothing_new(folder):
    before, config = identity(folder), json.loads((folder / CONFIG).read_text())
    config["model_cfg"] |= {"quick_gelu": False, "custom_text": False, "init_logit_bias": None}
    config["model_cfg"]["vision_cfg"] |= {"mlp_ratio": 4, "pool_type": "tok", "timm_drop": 0.0}
    config["model_cfg"]["text_cfg"] |= {"pad_id": 0, "hf_model_pretrained": True}
    config["preprocess_cfg"] |= {"fill_color": 0, "size": 32, "mode": "RGB"}
    (folder / CONFIG).write_text(json.dumps(config))
    assert identity(folder) == before


def test_the_defaults_are_open_clips_own():
    def of(config):
        return {field.name: field.default for field in dataclasses.fields(config)}

    assert of(open_clip.CLIPVisionCfg) == dict(VISION_DEFAULTS)
    assert of(open_clip.CLIPTextCfg) == dict(TEXT_DEFAULTS)
    prepared = of(open_clip.transform.PreprocessCfg)
    assert {name: prepared[name] for name in PREPROCESS_DEFAULTS} == dict(PREPROCESS_DEFAULTS)
    for name, recipe in (("imagenet", pretrained._apcfg()), ("siglip", pretrained._slpcfg())):
        assert {key: recipe[key] for key in PREPROCESS_PRESETS[name]} == dict(PREPROCESS_PRESETS[name])


@pytest.mark.parametrize("setting", [{"precision": "bfloat16"}, {"jpeg_draft": True}])
def test_numerics_are_identity(folder, setting):
    assert identity(folder, **setting).key != identity(folder).key


def test_an_unknown_tag_names_those_there_are(published):
    message = refusal(lambda: identity("tiny_teg", published))
    assert "encoder.checkpoint: tiny_teg" in message
    assert "Tags are: tiny_tag." in message
    assert "laion2b_s34b_b79k" in refusal(lambda: identity("no_such_tag", "ViT-B-32"))
