"""The encoder without a model: it knows the texts whose features another tool computed, and no others."""

import difflib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from coder_core.counted import counted
from coder_core.encoders.base import EncoderIdentity
from coder_core.errors import FeatureFileError
from coder_core.fingerprint import key_of
from coder_core.images.features_file import normalised_rows, text_values
from coder_core.locations import open_location
from coder_core.specs import PrecomputedEncoder, TextFeaturesFile
from coder_core.storage.feature_folders import hash_input
from coder_core.storage.input_tables import read_feature_file

IDENTITY_VERSION = 1
SAME_TEXT_TOLERANCE = 1e-2
"""Largest difference of a coordinate between two embeddings of one text (half precision, other batch sizes)."""


class PrecomputedTexts:
    """Looks features up by the exact text; of a text in several files the first file counts."""

    def __init__(self, spec: PrecomputedEncoder) -> None:
        self._rows: dict[str, Float[np.ndarray, " dim"]] = {}
        self._files = ", ".join(file.path for file in spec.texts)
        for file in spec.texts:
            rows = _read_rows(file)
            self._refuse_other_dim(rows, file.path)
            self._rows = rows | self._rows

    @property
    def dim(self) -> int:
        """Length of every vector."""
        return len(next(iter(self._rows.values()), ()))

    @property
    def context_length(self) -> int:
        """Nothing is cut: there is no tokenizer."""
        return sys.maxsize

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Nobody knows: there is no tokenizer."""
        return [0] * len(texts)

    def tokenize(self, texts: Sequence[str]) -> list[str]:
        """Refuse texts that nobody has embedded, before anything is looked up.

        Raises:
            FeatureFileError: A text has no feature; names the first and the nearest that has.
        """
        missing = [text for text in texts if text not in self._rows]
        if missing:
            close = difflib.get_close_matches(missing[0], list(self._rows), n=1, cutoff=0.5)
            hint = f" The nearest text there is {close[0]!r}." if close else ""
            raise FeatureFileError(
                f"{len(missing)} of {counted(len(texts), 'text')} have no feature, the first is {missing[0]!r}.{hint}",
                self._files or "encoder.texts",
                "Embed them with the tool that made the file, or choose methods and sentences that need no others.",
            )
        return list(texts)

    def text_lengths(self, tokens: Sequence[str]) -> Int[np.ndarray, " texts"]:
        """All texts cost alike."""
        return np.zeros(len(tokens), dtype=np.int64)

    def encode_texts(self, tokens: Sequence[str], rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows dim"]:
        """Look texts up."""
        return np.stack([self._rows[tokens[row]] for row in rows.tolist()])

    def prepare_image(self, image: Image.Image) -> Any:
        """Refuse: there is no model that could embed an image."""
        raise FeatureFileError(
            f"an image of {image.size} cannot be embedded without a model.", self._files, "Use dataset.kind features."
        )

    def encode_images(self, prepared: Sequence[Any]) -> Float[np.ndarray, "images dim"]:
        """Never reached: `prepare_image` refuses."""
        raise FeatureFileError(f"{len(prepared)} images have no features.", self._files, "Use dataset.kind features.")

    def _refuse_other_dim(self, rows: dict[str, Float[np.ndarray, " dim"]], path: str) -> None:
        dim = len(next(iter(rows.values())))
        if self._rows and dim != self.dim:
            raise FeatureFileError(
                f"features of dimension {dim}, the files before have {self.dim}.", path, "Give files of one encoder."
            )


def read_text_features(file: TextFeaturesFile) -> Float[np.ndarray, "texts dim"]:
    """All text features of a file as unit rows, whatever the texts are.

    Raises:
        FeatureFileError: The file cannot be used.
    """
    arrays = read_feature_file(open_location(file.path), [file.features])
    return normalised_rows(arrays[file.features], f"{file.path}: {file.features}")


def _read_rows(file: TextFeaturesFile) -> dict[str, Float[np.ndarray, " dim"]]:
    arrays = read_feature_file(open_location(file.path), [file.texts, file.features])
    features = normalised_rows(arrays[file.features], f"{file.path}: {file.features}")
    texts = text_values(arrays[file.texts], f"{file.path}: {file.texts}")
    if len(texts) != len(features):
        raise FeatureFileError(
            f"{len(texts)} texts and {len(features)} features.", file.path, "Give one feature per text."
        )
    rows: dict[str, Float[np.ndarray, " dim"]] = {}
    for text, feature in zip(texts, features, strict=True):
        known = rows.setdefault(text, feature)
        if not np.allclose(known, feature, rtol=0.0, atol=SAME_TEXT_TOLERANCE):
            raise FeatureFileError(
                f"the text {text!r} is there twice with different features.", file.path, "Keep one of them."
            )
    return rows


def identify_precomputed(spec: PrecomputedEncoder) -> EncoderIdentity:
    """Identify by the content of the files."""
    if not spec.texts:
        dim = _image_dim(spec)
        return EncoderIdentity(key_of({"kind": spec.kind, "version": IDENTITY_VERSION, "dim": dim}), dim, "precomputed")
    hashes = [hash_input(open_location(file.path)) for file in spec.texts]
    columns = [[file.texts, file.features] for file in spec.texts]
    key = key_of({"kind": spec.kind, "version": IDENTITY_VERSION, "files": hashes, "columns": columns})
    return EncoderIdentity(key, PrecomputedTexts(spec).dim, "precomputed")


def _image_dim(spec: PrecomputedEncoder) -> int:
    """Dimensions of the image features, where no text says them."""
    if spec.images is None:
        raise FeatureFileError(
            "neither texts nor images say how many dimensions there are.", "encoder", "Name files under encoder.texts."
        )
    file = spec.images
    arrays = read_feature_file(open_location(file.path), [file.features])
    return int(normalised_rows(arrays[file.features], f"{file.path}: {file.features}").shape[1])


class PrecomputedFamily:
    """Features that another tool computed."""

    needs_device = False
    embeds_images = False

    def identify(self, spec: PrecomputedEncoder) -> EncoderIdentity:
        """See `identify_precomputed`."""
        return identify_precomputed(spec)

    def load(self, spec: PrecomputedEncoder, *, device: str) -> PrecomputedTexts:  # noqa: ARG002 - no model
        """Read the files."""
        return PrecomputedTexts(spec)


FAMILY = PrecomputedFamily()
