"""For every field of a spec: a change, and the step whose key it must change; or why it decides nothing."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from coder_core.specs import EvalSpec
from tests.fixtures_inputs import NAMES

from .worlds import Files, Settings

FOLDER = "FOLDER"
"""Stands for the folder of the world's files."""


class Case(NamedTuple):
    """One field, and what changing it must move.

    Args:
        field: Model and field.
        world: Which world reads it.
        change: Path of keys -> new value; `FOLDER` in a value is the world's folder.
        moves: A step that reads it.
        start: Changes that are made before, to have something to compare with.
    """

    field: str
    world: str
    change: dict[str, Any]
    moves: str
    start: Mapping[str, Any] = MappingProxyType({})


EXEMPT = {
    "EvalSpec.name": "names the run",
    "EvalSpec.dataset": "its fields are walked",
    "EvalSpec.encoder": "its fields are walked",
    "EvalSpec.texts": "its fields are walked",
    "EvalSpec.rerank": "its fields are walked",
    "EvalSpec.matrix": "its fields are walked",
    "FlagsDataset.kind": "says which other fields there are",
    "FolderDataset.kind": "says which other fields there are",
    "SplitDataset.kind": "says which other fields there are",
    "FeaturesDataset.kind": "says which other fields there are",
    "OpenClipEncoder.kind": "says which other fields there are",
    "PrecomputedEncoder.kind": "says which other fields there are",
    "ClassFile.kind": "says which other fields there are",
    "ClassFolder.kind": "says which other fields there are",
    "ClassQuery.kind": "says which other fields there are",
    "FlagsDataset.name": "a name for tables: the same images under another name are the same images",
    "FolderDataset.name": "a name for tables",
    "SplitDataset.name": "a name for tables",
    "PrecomputedEncoder.images": "says how many dimensions there are where no text does",
    "ImageFeaturesFile.path": "says how many dimensions there are",
    "ImageFeaturesFile.features": "says how many dimensions there are",
    "FeaturesDataset.name": "a name for tables",
    "FolderDataset.ignore_other_folders": "decides about an error; the key of the listing holds what is listed",
    "FeaturesDataset.ignore_other_folders": "decides about an error; the key of the listing holds what is listed",
    "OpenClipEncoder.architecture": "says how to read weights; the encoder's identity holds what they are",
    "OpenClipEncoder.quick_gelu": "asked of a bare weights file alone: encoders/test_open_clip_loading.py",
    "OpenClipEncoder.preprocess": "asked of a bare weights file alone: encoders/test_open_clip_loading.py",
    **{
        f"PreprocessRecipe.{name}": "asked of a bare weights file alone: encoders/test_open_clip_loading.py"
        for name in ("mean", "std", "interpolation", "resize_mode", "fill_color")
    },
    **{
        f"{kind}.{name}": "the listing is that of files, whose cases are above: images/test_packed_sources.py"
        for kind in ("TarDataset", "ParquetDataset", "TableDataset")
        for name in ("kind", "path", "class_names", "classes", "name", "label")
    },
    **{
        f"ManifestDataset.{name}": "the listing is that of files: images/test_manifests.py"
        for name in ("kind", "path", "class_names", "classes", "name", "root", "image", "label", "split")
    },
    **{
        f"NamedDataset.{name}": "the listing is that of files: datasets/test_readers.py"
        for name in ("kind", "name", "root", "split", "lists", "partial")
    },
    **{
        f"UnlabelledDataset.{name}": "of no evaluation: recipes/test_try.py"
        for name in ("kind", "path", "classes", "name")
    },
    "ParquetDataset.image": "a location says its column: images/test_packed_sources.py",
    **{
        f"{family}.{name}": "one identity of content, like that of open_clip: encoders/test_transformers.py"
        for family in ("TransformersEncoder", "SentenceTransformersEncoder")
        for name in ("kind", "model", "revision", "precision", "jpeg_draft")
    },
    **{
        f"CustomEncoder.{name}": "settings and what the encoder says of itself: encoders/test_custom.py"
        for name in ("kind", "name", "settings")
    },
}

QUERY = {"kind": "query", "sql": "SELECT class_name FROM birds", "tables": {"birds": f"{FOLDER}/classes.csv"}}
FEWER = {"kind": "file", "path": f"{FOLDER}/fewer.txt"}
DATABASE = {"kind": "query", "sql": "SELECT class_name FROM birds", "database": f"{FOLDER}/classes.duckdb"}
ALONE = {"few_shot": None, "transduction": None}
"""Without a pool, whose classes would have to be the same, and without what stands on it."""
OTHERS = {"dataset.ignore_other_folders": True, "dataset.class_names": None, **ALONE}
FEW_SHOT_FILE = {"few_shot.texts": {"path": f"{FOLDER}/texts2.npz"}}
CONTROLLED = {"methods": ["clip", "coder"], "controls": ["repeated_names"]}
CONFUSED = {"texts.pairs": "confused"}

CASES = (
    Case("EvalSpec.methods", "features", {"methods": ["clip", "vcd", "coder", "clip_ensemble"]}, "BuildClassifier"),
    Case("EvalSpec.class_names", "photos", {"class_names": {"wren": "winter wren"}}, "ListClasses"),
    Case("EvalSpec.baseline", "features", {"baseline": "vcd"}, "MeasureMethod"),
    Case("EvalSpec.controls", "photos", {"controls": ["nameless"]}, "WriteControlTexts", CONTROLLED),
    Case("EvalSpec.controls_of", "photos", {"controls_of": ["vcd"]}, "BuildClassifier", CONTROLLED),
    Case("EvalSpec.calibrate", "features", {"calibrate": False}, "BuildCalibrated"),
    Case("EvalSpec.groups", "features", {"groups": {"pattern": "^(.)"}}, "MeasureMethod"),
    Case("GroupsSpec.pattern", "features", {"groups.pattern": "(.)$"}, "MeasureMethod", {"groups": {"pattern": "^."}}),
    Case(
        "GroupsSpec.column",
        "features",
        {"groups.column": "labels2"},
        "MeasureMethod",
        {"groups": {"column": "labels"}},
    ),
    Case("EvalSpec.validation", "features", {"validation.path": f"{FOLDER}/other/images.npz"}, "ChooseThreshold"),
    Case("EvalSpec.transduction", "features", {"transduction": None}, "FitTransduction"),
    Case("EvalSpec.few_shot", "features", {"few_shot": None}, "FitFewShot"),
    Case("EvalSpec.ablation", "features", {"ablation": None}, "AblateTexts"),
    Case("EvalSpec.protocol", "features", {"protocol": "reference"}, "PredictAsReleased"),
    Case("EvalSpec.draw_seed", "features", {"draw_seed": 3}, "AblateTexts"),
    Case("EvalSpec.logit_scale", "features", {"logit_scale": 50.0}, "BuildClassifier"),
    Case("MatrixSpec.write", "features", {"matrix.write": False}, "WriteMatrix"),
    Case("RerankSpec.candidates", "features", {"rerank.candidates": 3}, "BuildRerank"),
    Case("RerankSpec.threshold", "features", {"rerank.threshold": 0.25}, "CountConfusedPairs"),
    Case("RerankSpec.choose_threshold", "features", {"rerank.choose_threshold": False}, "BuildRerank"),
    Case("RerankSpec.pair_budget", "generated", {"rerank.pair_budget": 1}, "SelectPairs", CONFUSED),
    Case("AblationSpec.draws", "features", {"ablation.draws": 2}, "AblateTexts"),
    Case("AblationSpec.texts_per_class", "features", {"ablation.texts_per_class": [2]}, "AblateTexts"),
    Case("FeaturesDataset.path", "features", {"dataset.path": f"{FOLDER}/other/images.npz"}, "ListImages"),
    Case("FeaturesDataset.features", "features", {"dataset.features": "features2"}, "ListImages"),
    Case("FeaturesDataset.labels", "features", {"dataset.labels": "labels2"}, "ListLabels"),
    Case("FeaturesDataset.image_ids", "features", {"dataset.image_ids": "image_ids2"}, "ListImages"),
    Case(
        "FeaturesDataset.class_names",
        "features",
        {"dataset.class_names": "class_names2"},
        "ListClasses",
        {"few_shot": None, "rerank": {}, "validation": None, "calibrate": False},
    ),
    Case(
        "FeaturesDataset.classes",
        "features",
        {"dataset.classes": FEWER},
        "ListClasses",
        {"few_shot": None, "rerank": {}, "validation": None, "calibrate": False, "dataset.ignore_other_folders": True},
    ),
    Case("FolderDataset.path", "photos", {"dataset.path": f"{FOLDER}/other/images"}, "ListImages"),
    Case("FolderDataset.class_names", "photos", {"dataset.class_names": [*NAMES[::-1]], **ALONE}, "ListClasses"),
    Case("FolderDataset.classes", "photos", {"dataset.classes": FEWER}, "ListClasses", OTHERS),
    Case(
        "ClassFile.path",
        "photos",
        {"dataset.classes.path": f"{FOLDER}/fewer.txt"},
        "ListClasses",
        {**OTHERS, "dataset.classes": {"kind": "file", "path": f"{FOLDER}/classes.txt"}},
    ),
    Case(
        "ClassFolder.path",
        "photos",
        {"dataset.classes.path": f"{FOLDER}/fewer"},
        "ListClasses",
        {**OTHERS, "dataset.classes": {"kind": "folder", "path": f"{FOLDER}/classes"}},
    ),
    Case(
        "ClassQuery.sql",
        "photos",
        {"dataset.classes.sql": "SELECT class_name FROM birds WHERE class_name <> 'wren'"},
        "ListClasses",
        {**OTHERS, "dataset.classes": QUERY},
    ),
    Case(
        "ClassQuery.tables",
        "photos",
        {"dataset.classes.tables": {"birds": f"{FOLDER}/fewer.csv"}},
        "ListClasses",
        {**OTHERS, "dataset.classes": QUERY},
    ),
    Case(
        "ClassQuery.database",
        "photos",
        {"dataset.classes.database": f"{FOLDER}/fewer.duckdb"},
        "ListClasses",
        {**OTHERS, "dataset.classes": DATABASE},
    ),
    Case("SplitDataset.path", "split", {"dataset.path": f"{FOLDER}/other/images"}, "EmbedImages"),
    Case("SplitDataset.split_file", "split", {"dataset.split_file": f"{FOLDER}/split2.json"}, "ListImages"),
    Case("SplitDataset.split", "split", {"dataset.split": "val"}, "ListImages"),
    Case("FlagsDataset.images_per_class", "flags", {"dataset.images_per_class": 2}, "ListImages"),
    Case("FlagsDataset.seed", "flags", {"dataset.seed": 5}, "ListImages"),
    Case("OpenClipEncoder.checkpoint", "photos", {"encoder.checkpoint": f"{FOLDER}/clip"}, "EmbedImages"),
    Case("OpenClipEncoder.precision", "photos", {"encoder.precision": "bfloat16"}, "EmbedTexts"),
    Case("OpenClipEncoder.jpeg_draft", "photos", {"encoder.jpeg_draft": True}, "EmbedImages"),
    Case(
        "PrecomputedEncoder.texts",
        "features",
        {"encoder.texts": [{"path": f"{FOLDER}/texts2.npz"}, {"path": f"{FOLDER}/texts.npz"}]},
        "EmbedTexts",
    ),
    Case("TextFeaturesFile.path", "features", {"encoder.texts": [{"path": f"{FOLDER}/texts2.npz"}]}, "EmbedTexts"),
    Case(
        "TextFeaturesFile.texts",
        "features",
        {"encoder.texts": [{"path": f"{FOLDER}/texts.npz", "texts": "texts2"}]},
        "EmbedTexts",
    ),
    Case(
        "TextFeaturesFile.features",
        "features",
        {"encoder.texts": [{"path": f"{FOLDER}/texts.npz", "features": "features2"}]},
        "EmbedTexts",
    ),
    Case("TextsSpec.bank", "photos", {"texts.bank": f"{FOLDER}/bank2.yaml"}, "KeepBank"),
    Case("TextsSpec.generator", "features", {"texts.generator": {"model": "m"}}, "GenerateTexts"),
    Case("TextsSpec.pairs", "generated", {"texts.pairs": "all"}, "GenerateTexts"),
    Case("TextsSpec.wordnet", "photos", {"texts.wordnet": "oewn:2024"}, "AssembleBank"),
    Case(
        "TextsSpec.edits",
        "photos",
        {"texts.edits": f"{FOLDER}/edits2.yaml"},
        "KeepBank",
        {"texts.edits": f"{FOLDER}/edits.yaml"},
    ),
    Case("TextsSpec.domain", "photos", {"texts.domain": "general"}, "WriteTexts"),
    Case("TextsSpec.domains", "photos", {"texts.domains": {"bird": {"class_name": "{class}!"}}}, "WriteTexts"),
    Case("GeneratorSpec.model", "generated", {"texts.generator.model": "another"}, "GenerateTexts"),
    Case("GeneratorSpec.kinds", "generated", {"texts.generator.kinds": ["attribute"]}, "GenerateTexts"),
    Case("GeneratorSpec.sampling", "generated", {"texts.generator.sampling": {}}, "GenerateTexts"),
    Case("GeneratorSpec.prompts", "generated", {"texts.generator.prompts": "texture"}, "GenerateTexts"),
    Case(
        "GeneratorSpec.prompt_sets",
        "generated",
        {"texts.generator.prompt_sets": {"general": {"attribute": "What does a {class} look like?"}}},
        "GenerateTexts",
    ),
    Case("GeneratorSpec.max_similarity", "generated", {"texts.generator.max_similarity": 0.5}, "AssembleBank"),
    Case("GeneratorSpec.analogue_rounds", "generated", {"texts.generator.analogue_rounds": 1}, "AssembleBank"),
    Case("GeneratorSpec.images_per_class", "split", {"texts.generator.images_per_class": 2}, "ChooseShownImages"),
    Case("GeneratorSpec.texts_per_class", "generated", {"texts.generator.texts_per_class": 2}, "AssembleBank"),
    Case("Sampling.temperature", "generated", {"texts.generator.sampling.temperature": 1.0}, "GenerateTexts"),
    Case("Sampling.top_p", "generated", {"texts.generator.sampling.top_p": 0.5}, "GenerateTexts"),
    Case("Sampling.seed", "generated", {"texts.generator.sampling.seed": 2}, "GenerateTexts"),
    Case("TransductionSpec.methods", "features", {"transduction.methods": ["sinkhorn"]}, "FitTransduction"),
    Case("TransductionSpec.stage1", "features", {"transduction.stage1": ["vcd"]}, "FitTransduction"),
    Case("TransductionSpec.texts", "features", {"transduction.texts.path": f"{FOLDER}/texts2.npz"}, "FitTransduction"),
    Case("FewShotSpec.pool", "features", {"few_shot.pool.path": f"{FOLDER}/other/images.npz"}, "FitFewShot"),
    Case("FewShotSpec.shots", "features", {"few_shot.shots": [2]}, "FitFewShot"),
    Case("FewShotSpec.draws", "features", {"few_shot.draws": 2}, "FitFewShot"),
    Case("FewShotSpec.seed", "features", {"few_shot.seed": 2}, "FitFewShot"),
    Case("FewShotSpec.methods", "features", {"few_shot.methods": ["gda"]}, "FitFewShot"),
    Case("FewShotSpec.zero_shot", "features", {"few_shot.zero_shot": "vcd"}, "FitFewShot"),
    Case("FewShotSpec.vocabulary", "photos", {"few_shot.vocabulary": "purged"}, "FitFewShot"),
    Case("FewShotSpec.texts", "features", FEW_SHOT_FILE, "FitFewShot"),
    Case("FewShotSpec.select_texts", "features", {"few_shot.select_texts": False}, "ChooseTexts"),
    Case("FewShotSpec.views", "photos", {"few_shot.views": 2}, "FitFewShot"),
    Case("FewShotSpec.validation_per_class", "features", {"few_shot.validation_per_class": 1}, "FitFewShot"),
    Case("FewShotSpec.allow_fewer", "features", {"few_shot.allow_fewer": True}, "FitFewShot"),
    Case("FewShotSpec.drop_shared", "features", {"few_shot.drop_shared": True}, "FitFewShot"),
)

ALL_CASES = (
    *CASES,
    # fields that are read in a second place
    Case("TextFeaturesFile.path (few_shot.texts)", "features", FEW_SHOT_FILE, "FitFewShot"),
    Case(
        "TextFeaturesFile.features (few_shot.texts)", "features", {"few_shot.texts.features": "features2"}, "FitFewShot"
    ),
    Case("FeaturesDataset.labels (pool)", "features", {"few_shot.pool.labels": "labels2"}, "FitFewShot"),
    Case("FeaturesDataset.labels (validation)", "features", {"validation.labels": "labels2"}, "ChooseThreshold"),
)


def walk_fields() -> set[str]:
    """Every field of `EvalSpec` and of the specs inside it."""
    found: set[str] = set()
    seen: set[type] = set()

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
            seen.add(annotation)
            for name, field in annotation.model_fields.items():
                found.add(f"{annotation.__name__}.{name}")
                walk(field.annotation)
                for item in field.metadata:
                    walk(item)
        for argument in get_args(annotation):
            walk(argument)

    walk(EvalSpec)
    return found


def changed(files: Files, *changes: Mapping[str, Any]) -> Settings:
    """The settings of a world with some of them replaced; `None` takes one out."""
    settings = deepcopy(files.settings)
    for change in changes:
        for path, value in change.items():
            _set(settings, path.split("."), _placed(value, files.folder))
    return settings


def _set(settings: Any, path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        settings = settings.setdefault(name, {})
    if value is None:
        settings.pop(path[-1], None)
    else:
        settings[path[-1]] = value


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return value.replace(FOLDER, str(folder))
    if isinstance(value, dict):
        return {name: _placed(item, folder) for name, item in value.items()}
    return [_placed(item, folder) for item in value] if isinstance(value, list) else value
