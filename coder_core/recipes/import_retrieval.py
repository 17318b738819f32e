"""From a folder of clip-retrieval to a config: behind `coder-eval import clip-retrieval`.

clip-retrieval keeps image vectors (`img_emb`), perhaps text vectors (`text_emb`), and a table with the path or key of
every image, its caption, and what stood in its JSON file. An evaluation needs two things more: a label for each image,
and vectors of the sentences about the classes. Labels are a column of that table, or the folders that images lie in;
sentences are embedded by the model that made the vectors, or lie in another folder of clip-retrieval as captions. What
has to be worked out is written beside the config as one `.npz`; all else stays where it is.
"""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from coder_core.class_source.matching import match_labels, no_such_class
from coder_core.class_source.read_class_source import read_class_source
from coder_core.class_source.settings import ClassFile
from coder_core.classes import ClassList
from coder_core.config import validate_spec
from coder_core.counted import counted
from coder_core.embedding.text_passes import text_vectors
from coder_core.encoders.model_names import encoder_settings
from coder_core.encoders.registry import identify_encoder
from coder_core.errors import CheckpointError, ConfigError, DatasetError, FeatureFileError
from coder_core.images.features_file import normalised_rows, text_values
from coder_core.pipeline.context import Context
from coder_core.recipes.gather_texts import kinds_needed
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.assemble_bank import domain_of, read_bank_file
from coder_core.storage.feature_folders import RetrievalFolder, look_at_retrieval
from coder_core.storage.input_tables import read_feature_file
from coder_core.storage.output_file import write_file
from coder_core.texts.bank_file import dump_yaml
from coder_core.texts.sentences import build_texts

IMAGES, TEXTS = "img_emb", "text_emb"
PATH_COLUMN, CAPTION_COLUMN, LABEL_COLUMN = "image_path", "caption", "label"
FOLDERS = "folders"
"""What `labels` may say instead of a column."""
COMPARED = 16
"""Captions whose vectors are held against those of the model that is said to have made them."""
SAME_TEXT = 0.99
"""Least cosine of a caption by clip-retrieval (half precision) and by the same model here; another model's is noise."""


@dataclass(frozen=True)
class RetrievalWish:
    """What a person asks for.

    Attributes:
        folder: The output folder of `clip-retrieval inference`.
        labels: A column of its metadata, or `folders`; default: `label` where there is such a column, else `folders`.
        classes: A file of class names, one per line: of label numbers what they mean, of words which compete.
        model: What made the vectors (see `encoders.model_names`): it embeds the sentences about the classes.
        texts: Instead, another folder of clip-retrieval whose captions are these sentences.
        domain: Whose sentences.
        name: Of the evaluation; default: the folder's.
    """

    folder: str
    labels: str | None = None
    classes: str | None = None
    model: str | None = None
    texts: str | None = None
    domain: str | None = None
    name: str | None = None


class ImportedRetrieval(NamedTuple):
    """A config that was written.

    Args:
        path: The config.
        spec: What it says.
        written: The file beside it; None where nothing had to be worked out.
        facts: What was found, one line each.
    """

    path: Path
    spec: EvalSpec
    written: Path | None
    facts: tuple[str, ...]


class _Labels(NamedTuple):
    """Settings of the data set, its classes, and the arrays that are to be written for it."""

    settings: dict[str, Any]
    classes: ClassList
    arrays: dict[str, np.ndarray]
    fact: str


def import_retrieval(
    wish: RetrievalWish, path: Path | None = None, *, runtime: Runtime, is_forced: bool = False
) -> ImportedRetrieval:
    """Write the config of an evaluation of clip-retrieval's vectors.

    Args:
        wish: What is asked for.
        path: The config; default: `<name>.yaml` here.
        runtime: Where the model runs, and the store that keeps what it embeds.
        is_forced: Whether files with other content are replaced.

    Raises:
        FeatureFileError: It is no folder of clip-retrieval, or lacks vectors or a column.
        DatasetError: A label is no class, or an image lies in no folder.
        ConfigError: Nothing says what label numbers mean, or nothing embeds sentences.
        CheckpointError: The model is another one than made the vectors.
    """
    folder = str(Path(wish.folder).expanduser().absolute()) if "://" not in wish.folder else wish.folder
    held = look_at_retrieval(folder)
    if IMAGES not in held.matrices:
        raise FeatureFileError("there is no img_emb/*.npy.", wish.folder, "Run it with --enable_image True.")
    name = wish.name or PurePosixPath(folder).name or "retrieval"
    path = path or Path(f"{name}.yaml")
    beside = path.with_suffix(".npz")
    labels = _label(wish, folder, held, beside, runtime)
    texts, arrays = _texts(wish, folder, held, labels, beside, runtime)
    settings: dict[str, Any] = {
        "name": name,
        "dataset": {"kind": "features", **labels.settings},
        "encoder": {"kind": "precomputed", "texts": [texts]},
        "texts": {"domain": wish.domain} if wish.domain else {},
        "methods": ["clip", "clip_ensemble"] if arrays else ["clip"],
    }
    arrays = {**labels.arrays, **arrays}
    if arrays:
        write_file(beside, _packed(arrays), replaces_other=is_forced)
    write_file(path, _render(settings, path), replaces_other=is_forced)
    spec = validate_spec(settings, place=str(path), base=str(path.parent.resolve()))
    return ImportedRetrieval(path, spec, beside if arrays else None, (labels.fact, _told_texts(wish, arrays)))


def _label(wish: RetrievalWish, folder: str, held: RetrievalFolder, beside: Path, runtime: Runtime) -> _Labels:
    """The label of every image: numbers of a column as they are, words of a column or folders as class ids."""
    source = wish.labels or (LABEL_COLUMN if LABEL_COLUMN in held.columns else FOLDERS)
    column = PATH_COLUMN if source == FOLDERS else source
    if column not in held.columns:
        there = ", ".join(held.columns) or "no metadata"
        remedy = f"Name a column (--labels COLUMN), or `folders` for those of {PATH_COLUMN}. It holds: {there}."
        raise FeatureFileError(f"nothing says what the images show: there is no column {column!r}.", folder, remedy)
    values = read_feature_file(folder, [column])[column]
    listed = _listed(wish, runtime)
    if source != FOLDERS and values.dtype.kind in "iu":
        return _numbered(folder, held, column, listed)
    words = text_values(values, f"{folder}: {column}")
    words = _folders_of(words, folder) if source == FOLDERS else words
    classes = listed or ClassList(tuple(sorted(set(words))))
    arrays = {"labels": _ids_of(words, classes, folder), "class_names": _utf8(classes.names)}
    arrays["features"] = read_feature_file(folder, [IMAGES])[IMAGES]
    if len(arrays["features"]) != len(words):
        problem = (
            f"{IMAGES} has {counted(len(arrays['features']), 'vector')}, the metadata {counted(len(words), 'row')}."
        )
        raise FeatureFileError(problem, folder, "It was broken off, or copied in part: run clip-retrieval again.")
    settings: dict[str, Any] = {"path": beside.name}
    if PATH_COLUMN in held.columns:
        paths = text_values(read_feature_file(folder, [PATH_COLUMN])[PATH_COLUMN], folder)
        arrays["image_ids"] = _utf8(_below_common_folder(paths))
        settings["image_ids"] = "image_ids"
    what = f"the folders of {PATH_COLUMN}" if source == FOLDERS else f"the column {column!r}"
    return _Labels(
        settings,
        classes,
        arrays,
        f"{counted(len(words), 'image')} of {counted(len(classes), 'class')}, labelled by {what}",
    )


def _numbered(folder: str, held: RetrievalFolder, column: str, listed: ClassList | None) -> _Labels:
    if listed is None:
        problem = f"the column {column!r} holds numbers, and nothing says what they mean."
        raise ConfigError(problem, folder, "Name the classes in label order, one per line: --classes names.txt.")
    settings = {"path": folder, "features": IMAGES, "labels": column, "class_names": list(listed.names)}
    if PATH_COLUMN in held.columns:
        settings["image_ids"] = PATH_COLUMN
    return _Labels(settings, listed, {}, f"{counted(len(listed), 'class')}, labelled by the column {column!r}")


def _listed(wish: RetrievalWish, runtime: Runtime) -> ClassList | None:
    if wish.classes is None:
        return None
    source = ClassFile(kind="file", path=str(Path(wish.classes).expanduser().absolute()))
    return read_class_source(source, settle_seconds=runtime.settle_seconds)


def _folders_of(paths: Sequence[str], folder: str) -> tuple[str, ...]:
    words = tuple(PurePosixPath(path).parent.name for path in paths)
    if "" in words:
        problem = f"{words.count('')} of {len(words)} images lie in no folder, {paths[words.index('')]!r} for one."
        remedy = "Keys of tar shards have none: write the label into each JSON file, or name a column (--labels)."
        raise DatasetError(problem, folder, remedy)
    return words


def _ids_of(words: Sequence[str], classes: ClassList, folder: str) -> Int[np.ndarray, " images"]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    label_of = match_labels(sorted(counts), classes, folder)
    others = {word: count for word, count in sorted(counts.items()) if word not in label_of}
    if others:
        raise no_such_class(others, classes, what="label", setting="--classes", place=folder)
    return np.array([label_of[word] for word in words], dtype=np.int64)


def _below_common_folder(paths: Sequence[str]) -> list[str]:
    """Paths as people name images: without what all of them begin with."""
    if len(set(paths)) < 2 or len({PurePosixPath(path).is_absolute() for path in paths}) > 1:
        return list(paths)
    common = os.path.commonpath([str(PurePosixPath(path).parent) for path in paths])
    return [str(PurePosixPath(path).relative_to(common)) if common else path for path in paths]


def _texts(
    wish: RetrievalWish, folder: str, held: RetrievalFolder, labels: _Labels, beside: Path, runtime: Runtime
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Settings of the sentences' vectors, and what is to be written for them."""
    if wish.model is not None:
        arrays = _embedded(wish, wish.model, folder, held, labels.classes, runtime)
        return {"path": beside.name, "texts": "texts", "features": "text_features"}, arrays
    source = str(Path(wish.texts).expanduser().absolute()) if wish.texts and "://" not in wish.texts else wish.texts
    kept = look_at_retrieval(source) if source else held
    if TEXTS not in kept.matrices or CAPTION_COLUMN not in kept.columns:
        problem = f"there are no vectors of texts (text_emb, and the column {CAPTION_COLUMN!r})."
        remedy = "Name the model that made the image vectors (--model), or another folder whose captions are the "
        raise ConfigError(problem, source or folder, f"{remedy}sentences about the classes (--texts).")
    return {"path": source or folder, "texts": CAPTION_COLUMN, "features": TEXTS}, {}


def _embedded(
    wish: RetrievalWish, model: str, folder: str, held: RetrievalFolder, classes: ClassList, runtime: Runtime
) -> dict[str, np.ndarray]:
    """Embed the sentences about the classes by the model that is said to have made the vectors."""
    named = {"dataset": {"kind": "flags"}, "encoder": encoder_settings(model), "methods": ["clip", "clip_ensemble"]}
    domain = {"domain": wish.domain} if wish.domain else {}
    spec = validate_spec({"name": "sentences", **named, "texts": domain}, place="--model", base=str(Path.cwd()))
    encoder = identify_encoder(spec.encoder)
    dim = read_feature_file(folder, [IMAGES])[IMAGES].shape[1]
    if dim != encoder.dim:
        problem = f"its vectors have {encoder.dim} dimensions, those of the folder {dim}."
        raise CheckpointError(problem, f"--model {model}", "Name the model that clip-retrieval was given.")
    bank = read_bank_file(spec.texts, classes)
    sentences = build_texts(classes, bank, domain_of(spec.texts), kinds=kinds_needed(spec)).unique_texts()
    context = Context.open(runtime)

    def embed(texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        return text_vectors(context, encoder, texts)

    if TEXTS in held.matrices and CAPTION_COLUMN in held.columns:
        _refuse_other_model(folder, embed, model)
    return {"texts": _utf8(sentences), "text_features": embed(sentences)}


def _refuse_other_model(folder: str, embed: Any, model: str) -> None:
    arrays = read_feature_file(folder, [CAPTION_COLUMN, TEXTS])
    captions = list(text_values(arrays[CAPTION_COLUMN], folder)[:COMPARED])
    given = normalised_rows(arrays[TEXTS][:COMPARED], folder)
    cosines = (embed(captions) * given).sum(axis=1)
    if cosines.min() < SAME_TEXT:
        row = int(cosines.argmin())
        problem = f"it gives {captions[row]!r:.80} another vector than the folder has (cosine {cosines[row]:.3f})."
        raise CheckpointError(problem, f"--model {model}", "Name the model that clip-retrieval was given.")


def _told_texts(wish: RetrievalWish, arrays: Mapping[str, np.ndarray]) -> str:
    if "texts" in arrays:
        return f"{len(arrays['texts'])} sentences about the classes, embedded by {wish.model}"
    return f"sentences are looked up among the captions of {wish.texts or wish.folder}"


def _utf8(texts: Sequence[str]) -> np.ndarray:
    """Texts of fixed width: a quarter of what numpy's own text takes."""
    return np.array([text.encode("utf-8") for text in texts], dtype=np.bytes_)


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]
    return packed.getvalue()


def _render(settings: Mapping[str, Any], path: Path) -> str:
    known = {key: value for key, value in settings.items() if value}
    head = f"# Written by coder-eval; edit it freely (docs/configuration.md). Run it: coder-eval run {path.name}\n"
    return head + dump_yaml(known, str(path))
