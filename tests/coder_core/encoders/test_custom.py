"""An encoder of the user: the example of the documentation, run as it stands; and what can be wrong with one."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coder_core.encoders import custom
from coder_core.encoders.custom import OneOfYours
from coder_core.encoders.registry import identify_encoder, load_encoder
from coder_core.errors import CheckpointError, ConfigError, InputError
from coder_core.specs import CustomEncoder

DOCUMENT = Path(__file__).parents[3] / "docs" / "encoders.md"
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The documented package, installed as pip would: a module, and metadata that names its entry point."""
    files = dict(EXAMPLE.findall(DOCUMENT.read_text("utf-8")))
    (tmp_path / "my_encoder.py").write_text(files["my_encoder.py"])
    section = files["pyproject.toml"].partition('[project.entry-points."coder_eval.encoders"]\n')[2]
    points = "[coder_eval.encoders]\n" + section.replace('"', "")
    metadata = tmp_path / "my_encoder-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-encoder\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_encoder", None)


def spec_of(**settings):
    return CustomEncoder(kind="custom", name="colours", settings=settings)


@pytest.mark.usefixtures("package")
def test_the_documented_example_is_twenty_lines_and_works():
    code = dict(EXAMPLE.findall(DOCUMENT.read_text("utf-8")))["my_encoder.py"]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 20
    identity = identify_encoder(spec_of())
    assert (identity.dim, identity.label) == (3, "colours")
    encoder = load_encoder(identity, device="cpu")
    texts = encoder.encode_texts(encoder.tokenize(["a red flag", "a blue flag"]), np.arange(2))
    colours = [(255, 0, 0), (0, 0, 255)]
    images = encoder.encode_images([encoder.prepare_image(Image.new("RGB", (4, 4), colour)) for colour in colours])
    assert texts.dtype == images.dtype == np.float32
    assert np.allclose(np.linalg.norm(np.concatenate([texts, images]), axis=1), 1.0, atol=1e-6)
    assert (images @ texts.T).argmax(axis=1).tolist() == [0, 1]


@pytest.mark.usefixtures("package")
def test_settings_and_what_it_says_of_itself_are_its_identity(monkeypatch):
    import my_encoder

    found = [identify_encoder(spec_of()).key, identify_encoder(spec_of(size=3)).key]
    monkeypatch.setattr(my_encoder.Colours, "identity", {"version": 2})
    found.append(identify_encoder(spec_of()).key)
    assert len(set(found)) == 3
    monkeypatch.setattr(my_encoder.Colours, "identity", {1, 2})
    with pytest.raises(CheckpointError, match="nothing that JSON could hold"):
        identify_encoder(spec_of())


def test_an_encoder_that_nobody_brings_is_named():
    with pytest.raises(ConfigError, match="no installed package brings an encoder 'colours'"):
        identify_encoder(spec_of())


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("load", "problem"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda *_: object(), "has not all of dim, identity"),
    ],
)
def test_an_encoder_that_cannot_be_loaded_is_explained(monkeypatch, load, problem):
    import my_encoder

    monkeypatch.setattr(my_encoder, "load", load)
    with pytest.raises(CheckpointError, match=problem):
        identify_encoder(spec_of())


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (np.ones((2, 2)), r"shape \(2, 2\)"),
        (np.ones((1, 3)), r"shape \(1, 3\)"),
        (np.zeros((2, 3)), "zero or not finite"),
        (np.full((2, 3), np.nan), "zero or not finite"),
        (np.array([["a"] * 3] * 2), "numbers"),
    ],
)
def test_vectors_that_are_none_are_refused(rows, problem):
    class Own:
        dim, identity = 3, 1

        def embed_texts(self, texts):
            return rows

        def embed_images(self, images):
            return rows

    with pytest.raises(CheckpointError, match=problem):
        OneOfYours(Own(), "own").encode_texts(["a", "b"], np.arange(2))
    with pytest.raises(CheckpointError, match=problem):
        OneOfYours(Own(), "own").encode_images([1, 2])


def test_what_fails_in_it_is_told_with_its_line_and_what_may_pass_goes_on():
    class Own:
        dim, identity = 2, 1
        error: Exception

        def embed_texts(self, texts):
            raise self.error

        embed_images = prepare_image = embed_texts

    own, picture = OneOfYours(Own(), "own"), Image.new("RGB", (3, 2))
    asked = [lambda: own.encode_texts(["a"], np.arange(1)), lambda: own.encode_images([1])]
    line = Own.embed_texts.__code__.co_firstlineno + 1
    for ask in [*asked, lambda: own.prepare_image(picture)]:
        Own.error = KeyError("a\nzebra")
        with pytest.raises(CheckpointError) as caught:
            ask()
        assert str(caught.value).startswith("encoder own: its embed_texts has failed (KeyError: ")
        assert f"zebra'; {__file__}, line {line})." in str(caught.value)
        assert "\n" not in str(caught.value)
        for error in (MemoryError(), ConnectionError("reset"), InputError("gone.", "x", "y")):
            Own.error = error
            with pytest.raises(type(error)) as passed:
                ask()
            assert passed.value is error


def test_tensors_and_lists_are_vectors_too():
    torch = pytest.importorskip("torch")

    class Own:
        dim, identity = 2, 1

        def embed_texts(self, texts):
            return torch.tensor([[3.0, 4.0]] * len(texts), requires_grad=True)

        def embed_images(self, images):
            return [[1, 0]] * len(images)

        def prepare_image(self, image):
            return image.size

        def count_tokens(self, texts):
            return [len(text) for text in texts]

    own = OneOfYours(Own(), "own")
    assert np.allclose(own.encode_texts(["a"], np.arange(1)), [[0.6, 0.8]])
    assert own.encode_images([own.prepare_image(Image.new("RGB", (3, 2)))]).tolist() == [[1.0, 0.0]]
    assert own.count_tokens(["abc"]) == [3]
    assert custom.GROUP == "coder_eval.encoders"
