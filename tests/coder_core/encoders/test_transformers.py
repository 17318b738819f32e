"""Models of transformers against the library itself: its processor, its forward pass, one text or image at a time."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers")

import transformers

from coder_core.encoders.registry import check_encoder, identify_encoder, load_encoder
from coder_core.encoders.transformers_encoder import TwoTowers
from coder_core.encoders.transformers_loading import find_model
from coder_core.errors import CheckpointError
from coder_core.specs import SentenceTransformersEncoder, TransformersEncoder

from .tiny_transformers import ARCHITECTURES, LETTERS, write_transformers_model

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

TEXTS = ["a cat", "", "a photo of a small dog, which runs", "x", "a cat", "b" * 200]
CUT = frozenset({"clip", "align", "flava", "altclip", "chinese_clip"})
"""Towers that a mask or causality makes blind to padding; SigLIP's reads the last position."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("transformers")

    def find(name):
        return root / name if (root / name).is_dir() else write_transformers_model(root / name, name)

    return find


class Reference:
    """transformers alone."""

    def __init__(self, folder, padding):
        self.model = transformers.AutoModel.from_pretrained(folder).eval()
        self.processor = transformers.AutoProcessor.from_pretrained(folder)
        self.padding = padding

    def texts(self, texts, length):
        rows = []
        for text in texts:
            settings = {"padding": self.padding, "truncation": True, "max_length": length, "return_tensors": "pt"}
            with torch.no_grad():
                found = self.model.get_text_features(**self.processor.tokenizer([text], **settings)).pooler_output
            rows.append(found[0] if found.ndim == 2 else found[0, 0])
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()

    def images(self, images):
        rows = []
        for image in images:
            with torch.no_grad():
                inputs = self.processor(images=image, return_tensors="pt")
                found = self.model.get_image_features(**inputs).pooler_output
            rows.append(found[0] if found.ndim == 2 else found[0, 0])
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()


class DoublePrecision:
    """An image processor that computes in float64, as one without torch may."""

    def __init__(self, processor):
        self._processor = processor

    def __call__(self, **asked):
        made = self._processor(**asked)
        return {name: held.double() if held.is_floating_point() else held for name, held in made.items()}


def spec_of(folder, **settings):
    return TransformersEncoder(kind="transformers", model=str(folder), **settings)


def encoder_of(folder, **settings):
    return TwoTowers(find_model(str(folder), None), spec_of(folder, **settings), device="cpu")


def in_passes(encoder, texts, size=2):
    tokens = encoder.tokenize(texts)
    order = np.argsort(-encoder.text_lengths(tokens), kind="stable")
    found = [encoder.encode_texts(tokens, order[start : start + size]) for start in range(0, len(order), size)]
    return np.concatenate(found)[np.argsort(order)]


def pictures(count):
    generator = np.random.default_rng(1)
    sizes = generator.integers(20, 90, size=(count, 2))
    return [Image.fromarray(generator.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_texts_are_embedded_as_the_library_embeds_them(tiny, name):
    encoder = encoder_of(tiny(name))
    reference = Reference(tiny(name), "do_not_pad" if name in CUT else "max_length")
    found = in_passes(encoder, TEXTS)
    assert found.dtype == np.float32
    assert np.allclose(found, reference.texts(TEXTS, encoder.context_length), atol=1e-5)
    assert not np.allclose(found[0], found[3], atol=1e-2), "texts matter"
    assert encoder._can_cut is (name in CUT)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_images_are_embedded_as_the_library_embeds_them(tiny, name):
    encoder, images = encoder_of(tiny(name)), pictures(5)
    prepared = [encoder.prepare_image(image) for image in images]
    found = np.concatenate([encoder.encode_images(prepared[:3]), encoder.encode_images(prepared[3:])])
    assert np.allclose(found, Reference(tiny(name), True).images(images), atol=1e-5)
    assert not np.allclose(found[0], found[1], atol=1e-2), "images matter"


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_nothing_of_double_precision_goes_to_a_device(tiny, name):
    """Apple's GPU knows none, and would refuse."""
    encoder = encoder_of(tiny(name))
    encoder._images = DoublePrecision(encoder._images)
    inputs = [*encoder.prepare_image(pictures(1)[0]).values(), *encoder.tokenize(TEXTS).values()]
    held = [*encoder._model.parameters(), *encoder._model.buffers()]
    assert torch.float64 not in {tensor.dtype for tensor in [*inputs, *held]}


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"flava"}))
def test_scale_and_bias_make_the_logits_of_the_model(tiny, name):
    identity, encoder = identify_encoder(spec_of(tiny(name))), encoder_of(tiny(name))
    reference, images = Reference(tiny(name), "max_length"), pictures(2)
    texts = TEXTS[:3]
    inputs = reference.processor(
        text=texts,
        images=images,
        padding="max_length",
        truncation=True,
        max_length=encoder.context_length,
        return_tensors="pt",
    )
    with torch.no_grad():
        expected = reference.model(**inputs).logits_per_image.numpy()
    vectors = encoder.encode_images([encoder.prepare_image(image) for image in images])
    logits = vectors @ in_passes(encoder, texts).T * identity.logit_scale + (identity.logit_bias or 0.0)
    assert identity.dim == vectors.shape[1]
    assert (identity.logit_bias is not None) is name.startswith("siglip")
    assert np.allclose(logits, expected, atol=1e-4 * max(1.0, identity.logit_scale))


def test_flava_has_a_scale(tiny):
    assert identify_encoder(spec_of(tiny("flava"))).logit_scale == pytest.approx(np.exp(2.6592), rel=1e-4)


def test_texts_are_shown_at_their_length(tiny, monkeypatch):
    encoder, shown = encoder_of(tiny("clip")), []
    inner = encoder._model.get_text_features
    monkeypatch.setattr(
        encoder._model, "get_text_features", lambda **kw: shown.append(tuple(kw["input_ids"].shape)) or inner(**kw)
    )
    in_passes(encoder, ["abc", "a", "ab"], size=2)
    assert shown == [(2, 5), (1, 3)]
    assert encoder.count_tokens(["abc", "b" * 200]) == [5, 202]
    assert encoder.context_length == 77


def test_the_identity_is_content(tiny, tmp_path):
    folder = shutil.copytree(tiny("clip"), tmp_path / "elsewhere")
    first = identify_encoder(spec_of(folder))
    assert first.key == identify_encoder(spec_of(tiny("clip"))).key
    found = [first.key, identify_encoder(spec_of(folder, precision="bfloat16")).key]
    for name in ("tokenizer.json", "processor_config.json", "config.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, "changed": name}))
        found.append(identify_encoder(spec_of(folder)).key)
    assert len(set(found)) == 5
    before = found[-1]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_version": "9", "dtype": "float16"}))
    assert identify_encoder(spec_of(folder)).key == before


def test_weights_in_shards_and_in_pickles_are_the_same_model(tiny, tmp_path):
    model = transformers.CLIPModel.from_pretrained(tiny("clip"))
    found = [identify_encoder(spec_of(tiny("clip"))).key]
    sharded = shutil.copytree(tiny("clip"), tmp_path / "sharded")
    (sharded / "model.safetensors").unlink()
    model.save_pretrained(sharded, max_shard_size="20KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 1
    found.append(identify_encoder(spec_of(sharded)).key)
    pickled = shutil.copytree(tiny("clip"), tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    found.append(identify_encoder(spec_of(pickled)).key)
    assert len(set(found)) == 1
    vectors = [in_passes(encoder_of(folder), TEXTS[:2]) for folder in (tiny("clip"), sharded, pickled)]
    assert np.array_equal(vectors[0], vectors[1])
    assert np.array_equal(vectors[0], vectors[2])


def refusal(call):
    with pytest.raises(CheckpointError) as caught:
        call()
    assert caught.value.place
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("gone", "problem"),
    [
        ("config.json", "the folder holds no config.json. Give a folder"),
        ("model.safetensors", "the folder holds no weights"),
        ("tokenizer.json", "the folder holds no tokenizer"),
        ("processor_config.json", "does not say how images are prepared"),
    ],
)
def test_a_folder_without_a_part_is_refused(tiny, tmp_path, gone, problem):
    folder = shutil.copytree(tiny("clip"), tmp_path / "model")
    (folder / gone).unlink()
    assert problem in refusal(lambda: identify_encoder(spec_of(folder)))


def test_a_checkpoint_of_another_architecture_is_refused(tiny, tmp_path):
    """By the check, which reads no weights, where it can be told by sizes and layers; by the loading in any case."""
    folder = shutil.copytree(tiny("clip"), tmp_path / "model")
    both = (encoder_of, lambda folder: check_encoder(spec_of(folder)))
    shutil.copy(tiny("siglip") / "model.safetensors", folder / "model.safetensors")
    for load in both:
        assert "another architecture than config.json says" in refusal(lambda load=load: load(folder))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] = 64
    shutil.copy(tiny("clip") / "model.safetensors", folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    sizes = r"text_model\.\S+ is 77 x 32, and 77 x 64 by the config; \d+ tensors are of other sizes"
    for load in both:
        assert re.search(sizes, refusal(lambda load=load: load(folder)))
    config["text_config"] |= {"hidden_size": 32, "num_hidden_layers": 3}
    (folder / "config.json").write_text(json.dumps(config))
    layers = r"text_model\.\S+layers\.2\.\S+ is not among them; 16 tensors are missing"
    for load in both:
        assert re.search(layers, refusal(lambda load=load: load(folder)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_can_be_loaded_passes_the_check(tiny, architecture):
    dim = identify_encoder(spec_of(tiny(architecture))).dim
    assert check_encoder(spec_of(tiny(architecture))) == f"{architecture}, {dim} dimensions"


def test_code_beside_a_model_is_not_run(tiny, tmp_path):
    folder, trace = shutil.copytree(tiny("clip"), tmp_path / "model"), tmp_path / "executed"
    (folder / "own.py").write_text(f"import pathlib; pathlib.Path({str(trace)!r}).touch()\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    own = {"auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}, "model_type": "own"}
    (folder / "config.json").write_text(json.dumps({**config, **own}))
    assert "needs code of its own, which is never run" in refusal(lambda: identify_encoder(spec_of(folder)))
    assert not trace.exists()


def test_a_model_of_one_tower_is_refused(tiny, tmp_path):
    folder = shutil.copytree(tiny("chinese_clip"), tmp_path / "model")
    bert = transformers.BertConfig(
        vocab_size=90, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(bert).save_pretrained(folder)
    assert "has no get_text_features and no get_image_features" in refusal(lambda: identify_encoder(spec_of(folder)))


@pytest.mark.parametrize("model", ["no/such-model", "/no/such/folder", "s3://bucket/model"])
def test_what_is_not_there_is_named(monkeypatch, model):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert model in refusal(lambda: identify_encoder(spec_of(model)))


def test_a_revision_is_for_the_hub(tiny):
    assert "a folder has no revision" in refusal(lambda: identify_encoder(spec_of(tiny("clip"), revision="main")))


def test_a_model_of_the_hub_is_its_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place = tmp_path / "models--some--model"
    shutil.copytree(tiny("clip"), place / "snapshots" / ("a" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "v1").write_text("a" * 40)
    spec = TransformersEncoder(kind="transformers", model="some/model", revision="v1")
    assert identify_encoder(spec).key == identify_encoder(spec_of(tiny("clip"))).key
    assert "could not be fetched" in refusal(lambda: identify_encoder(spec.model_copy(update={"revision": "v2"})))


def test_half_precision_is_near_and_another_encoder(tiny):
    whole = encoder_of(tiny("clip"))
    for precision in ("bfloat16", "autocast_bfloat16"):
        half = encoder_of(tiny("clip"), precision=precision)
        images = [half.prepare_image(image) for image in pictures(3)]
        found, expected = half.encode_images(images), whole.encode_images(images)
        assert found.dtype == np.float32
        assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
        assert 1e-6 < np.abs(found - expected).max() < 0.05


def test_a_clip_of_sentence_transformers_is_the_clip_inside(tiny, tmp_path):
    shutil.copytree(tiny("clip"), tmp_path / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (tmp_path / "modules.json").write_text(json.dumps([module]))
    spec = SentenceTransformersEncoder(kind="sentence_transformers", model=str(tmp_path))
    identity = identify_encoder(spec)
    assert identity.key == identify_encoder(spec_of(tiny("clip"))).key
    found = in_passes(load_encoder(identity, device="cpu"), TEXTS)
    assert np.array_equal(found, in_passes(encoder_of(tiny("clip")), TEXTS))
    (tmp_path / "modules.json").write_text(json.dumps([module, {**module, "type": "x.Pooling"}]))
    assert "no CLIP model of sentence-transformers, but CLIPModel, Pooling" in refusal(lambda: identify_encoder(spec))
    (tmp_path / "modules.json").unlink()
    assert "encoder.kind: transformers" in refusal(lambda: identify_encoder(spec))


def test_sentence_transformers_itself_gives_the_same(tiny, tmp_path):
    package = pytest.importorskip("sentence_transformers")
    shutil.copytree(tiny("clip"), tmp_path / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (tmp_path / "modules.json").write_text(json.dumps([module]))
    model = package.SentenceTransformer(str(tmp_path), device="cpu")
    spec = SentenceTransformersEncoder(kind="sentence_transformers", model=str(tmp_path))
    encoder = load_encoder(identify_encoder(spec), device="cpu")
    texts = [text for text in TEXTS if text and len(text) < 70]
    expected = model.encode(texts, normalize_embeddings=True)
    assert np.allclose(in_passes(encoder, texts), expected, atol=1e-5)
    images = pictures(3)
    found = encoder.encode_images([encoder.prepare_image(image) for image in images])
    assert np.allclose(found, model.encode(images, normalize_embeddings=True), atol=1e-5)


def test_the_alphabet_of_the_tests_holds_their_texts():
    assert set("".join(TEXTS)) - {" "} <= set(LETTERS)


def test_folders_are_named_by_path():
    with pytest.raises(CheckpointError, match="there is no such folder"):
        identify_encoder(spec_of(Path("/nowhere/at/all")))
