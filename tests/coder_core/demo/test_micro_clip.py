"""The micro-CLIP that ships: an ordinary checkpoint that knows colours and shapes, and no names."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file

from coder_core.demo.flag_images import flag_names, render_flags
from coder_core.encoders.open_clip_encoder import OpenClip
from coder_core.encoders.open_clip_loading import identify_open_clip
from coder_core.images.decoding import decode_image
from coder_core.locations import open_location
from coder_core.specs import OpenClipEncoder
from tests.tools.words import SHAPES_OF_WORD, colours_in

MODEL_FOLDER = Path(open_location("demo:micro-clip"))
WEIGHTS = MODEL_FOLDER / "open_clip_model.safetensors"
SHIPPED = OpenClipEncoder(kind="open_clip", checkpoint="demo:micro-clip")
ships = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the micro-CLIP's weights are not in this checkout")


def config():
    return json.loads((MODEL_FOLDER / "open_clip_config.json").read_text("utf-8"))["model_cfg"]


def used_rows(folder):
    """Token ids whose embedding is not exactly zero."""
    table = load_file(folder / "open_clip_model.safetensors")["token_embedding.weight"]
    return set(torch.nonzero(table.abs().amax(dim=1)).flatten().tolist())


@pytest.fixture(scope="module")
def shipped():
    """The model and the preprocessing as open_clip itself loads them."""
    return open_clip.create_model_from_pretrained(f"local-dir:{MODEL_FOLDER}")


def embed_texts(model, texts):
    with torch.no_grad():
        return model.encode_text(SimpleTokenizer()(texts), normalize=True).numpy()


def test_the_shipped_configuration_is_open_clips():
    model = open_clip.CLIP(**config())
    assert model.visual.image_size == (48, 48)
    assert sum(parameter.numel() for parameter in model.parameters()) < 9e6


@ships
def test_the_shipped_model_is_loaded_by_the_code_for_any_model():
    encoder = OpenClip(SHIPPED, device="cpu")
    assert identify_open_clip(SHIPPED).dim == 128
    assert encoder._can_cut is True
    assert encoder.prepare_image(decode_image(next(render_flags(1, 1)).content)).shape == (48, 48, 3)


@ships
def test_the_shipped_record_is_that_of_the_weights():
    record = json.loads((MODEL_FOLDER / "training.json").read_text("utf-8"))
    assert len(used_rows(MODEL_FOLDER)) == record["tokens_trained"]
    assert {value.dtype for value in load_file(WEIGHTS).values()} == {torch.float16}
    assert WEIGHTS.stat().st_size < 20e6


@pytest.mark.slow
@ships
def test_a_name_says_nothing_to_the_shipped_model(shipped):
    clip, used = SimpleTokenizer(), used_rows(MODEL_FOLDER)
    known = {
        name: [clip.decode([token]).strip() for token in clip.encode(name) if token in used] for name in flag_names()
    }
    words = {word for found in known.values() for word in found}
    assert not colours_in(" ".join(sorted(words)))
    assert not words & set(SHAPES_OF_WORD)
    unknown = [name for name in flag_names() if not known[name] and len(clip.encode(name)) == 1]
    assert len(unknown) > 20
    rows = embed_texts(shipped[0], [f"a flag of {name} which has a red disc" for name in unknown])
    assert np.allclose(rows, rows[0], atol=1e-6)


@pytest.mark.slow
@ships
def test_the_shipped_model_sees_colours_and_shapes(shipped):
    images = [image for image in render_flags(3, 11) if flag_names()[image.label_id] in ("Japan", "Sweden", "Italy")]
    model, preprocess = shipped
    pixels = torch.stack([preprocess(decode_image(image.content)) for image in images])
    with torch.no_grad():
        vectors = model.encode_image(pixels, normalize=True).numpy()
    texts = {"Japan": "a red disc on a white field", "Sweden": "a yellow cross on a blue field"}
    texts["Italy"] = "vertical stripes of green, white and red"
    found = (vectors @ embed_texts(model, list(texts.values())).T).argmax(axis=1)
    truth = [list(texts).index(flag_names()[image.label_id]) for image in images]
    assert len(images) == 9
    assert np.mean(found == truth) > 0.8
