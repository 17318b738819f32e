"""Embeddings against open_clip itself: its own loading, its own preprocessing, one text at a time at full context."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coder_core.encoders.device import choose_device, list_devices
from coder_core.encoders.registry import identify_encoder, load_encoder
from coder_core.encoders.text_tower import can_cut, token_lengths
from coder_core.errors import ConfigError
from tests.coder_core.encoders.conftest import CAUSAL, CONTEXT, DIM, TOWERS, InPasses, load, spec_of, write_model

pytestmark = pytest.mark.slow

TEXTS = (
    "a photo of a wren",
    "",
    "!",
    "a !?? b",
    "!_ starts with token 0",
    "a small bird with a long tail that points upwards, and with a pale stripe above each eye, " * 3,
    "wren",
    "Wren",
    "wren ",
    "a photo of a wren",
    "na\u00efve \u2603 \U0001f426",
    "<end_of_text> in the middle",
)


class Reference:
    """open_clip alone: its loader for folders, its tokenizer, its transform."""

    def __init__(self, folder):
        self.model, self.preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.model.eval()

    def texts(self, texts):
        with torch.no_grad():
            rows = [self.model.encode_text(self.tokenizer([text]), normalize=True)[0] for text in texts]
        return torch.stack(rows).numpy()

    def images(self, images):
        with torch.no_grad():
            rows = [self.model.encode_image(self.preprocess(image)[None], normalize=True)[0] for image in images]
        return torch.stack(rows).numpy()


def pictures(count):
    generator = np.random.default_rng(1)
    sizes = generator.integers(20, 70, size=(count, 2))
    return [Image.fromarray(generator.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_texts_are_embedded_as_open_clip_embeds_them(models, tower):
    encoder, reference = load(models(tower), batch_size=3), Reference(models(tower))
    found = encoder.encode_texts(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), DIM)
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    assert np.allclose(found, reference.texts(TEXTS), atol=1e-5)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_only_towers_that_end_at_the_end_token_are_cut(models, tower):
    reference = Reference(models(tower))
    assert can_cut(reference.model, reference.tokenizer, "cpu") is (tower in CAUSAL)
    assert load(models(tower))._can_cut is (tower in CAUSAL)


def test_a_cut_would_be_wrong_where_it_is_refused(models):
    encoder = load(models("last_position"))
    encoder.encoder._can_cut = True
    assert not np.allclose(
        encoder.encode_texts(TEXTS[:2]), Reference(models("last_position")).texts(TEXTS[:2]), atol=1e-2
    )


def test_texts_are_shown_at_their_length(models, monkeypatch):
    encoder, seen = load(models("clip"), batch_size=2), []
    inner = encoder._clip.model.token_embedding.forward
    monkeypatch.setattr(
        encoder._clip.model.token_embedding, "forward", lambda tokens: seen.append(tuple(tokens.shape)) or inner(tokens)
    )
    encoder.encode_texts(["wren", "a photo of a wren", "owl"])
    assert seen == [(2, 7), (1, 3)]
    assert max(length for _, length in seen) < CONTEXT


def test_padding_is_what_follows_the_last_token(models):
    tokens = Reference(models("clip")).tokenizer(["a !?? b", "", TEXTS[5]])
    assert 0 in tokens[0, :5].tolist()
    assert token_lengths(tokens).tolist() == [6, 2, CONTEXT]


@pytest.fixture(scope="module")
def pair(models):
    return load(models("clip"), batch_size=4), Reference(models("clip"))


@settings(max_examples=25)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_any_texts_come_back_in_their_order(pair, texts):
    encoder, reference = pair
    assert np.allclose(encoder.encode_texts(texts), reference.texts(texts), atol=1e-5)


def test_the_batch_size_does_not_matter(models):
    found = [load(models("clip"), batch_size=size).encode_texts(TEXTS) for size in (1, 2, 100)]
    assert all(np.allclose(one, other, atol=1e-6) for one, other in itertools.pairwise(found))


@pytest.mark.parametrize("tower", ["clip", "custom_text", "quick_gelu"])
def test_images_are_embedded_as_open_clip_embeds_them(models, tower):
    encoder, images = load(models(tower), batch_size=2), pictures(5)
    found = encoder.encode_images([encoder.prepare_image(image) for image in images])
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    assert np.allclose(found, Reference(models(tower)).images(images), atol=1e-5)


def test_nothing_to_embed_is_no_row(models):
    encoder = load(models("clip"))
    assert encoder.encode_texts([]).shape == encoder.encode_images([]).shape == (0, DIM)


def test_several_threads_may_use_one_model(models):
    encoder = load(models("clip"), batch_size=2)
    alone = encoder.encode_texts(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        assert all(np.allclose(found, alone) for found in threads.map(encoder.encode_texts, [TEXTS] * 8))


def test_the_model_does_not_learn(models):
    encoder = load(models("clip"))
    assert encoder._clip.model.training is False
    assert np.array_equal(encoder.encode_texts(TEXTS), encoder.encode_texts(TEXTS))


def test_an_encoder_is_loaded_once_per_identity(folder):
    def found():
        return load_encoder(identify_encoder(spec_of(folder)), device="cpu")

    first = found()
    assert found() is first
    write_model(folder, seed=1)
    second = found()
    assert second is not first
    assert not np.allclose(
        InPasses(first, batch_size=8).encode_texts(["wren"]),
        InPasses(second, batch_size=8).encode_texts(["wren"]),
        atol=1e-3,
    )


@pytest.mark.parametrize(
    ("count", "has_mps", "chosen"), [(2, False, "cuda"), (2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_is_cuda_or_else_mps_where_there_is_one(monkeypatch, count, has_mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert choose_device("auto") == chosen
    assert choose_device("cpu") == "cpu"
    assert list_devices("auto") == (("cuda:0", "cuda:1") if count else (chosen,))


def test_a_named_device_must_be_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert [choose_device(device) for device in ("cuda", "cuda:1")] == ["cuda", "cuda:1"]
    for device in ("cuda:2", "mps"):
        with pytest.raises(ConfigError, match=f"there is no '{device}' on this machine .2 CUDA devices"):
            choose_device(device)


def test_a_folder_is_identified_without_torch(folder):
    code = (
        "import sys; from coder_core.encoders.registry import identify_encoder;"
        "from coder_core.specs import OpenClipEncoder;"
        "print(identify_encoder(OpenClipEncoder(kind='open_clip', checkpoint=sys.argv[1])).key);"
        "sys.exit('torch' in sys.modules or 'open_clip' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == identify_encoder(spec_of(folder)).key
