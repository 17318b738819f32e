"""What there is to classify."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from coder_core.class_source.settings import ClassSource
from coder_core.spec_base import InputPath, Spec

CLASSES_MEANING = (
    "A list of classes kept outside the data set (kind `file`, `folder` or `query`): these compete, in this order; "
    "images of others are an error (see `ignore_other_folders`), and a class without images may be there."
)

PublishedName = Literal[
    "caltech101",
    "cifar10",
    "cifar100",
    "cub200",
    "dtd",
    "eurosat",
    "fgvc_aircraft",
    "flowers102",
    "food101",
    "imagenet",
    "imagenet_a",
    "imagenet_r",
    "imagenet_sketch",
    "imagenet_v2",
    "oxford_pets",
    "places365",
    "resisc45",
    "stanford_cars",
    "sun397",
    "ucf101",
]
"""Data sets that are known by name; `coder_core.datasets.catalogue` says all about each."""

SplitName = Literal["train", "val", "trainval", "test", "all"]
"""What publishers call the parts of their data sets."""

DatasetName = Annotated[str | None, Field(min_length=1, max_length=200)]
NAME_MEANING = "What the data set is called in tables; default: named after its folder or file."


class FlagsDataset(Spec):
    """The embedded demonstration: photographs of national flags, rendered by this project."""

    kind: Literal["flags"] = Field(description="`flags`.")
    images_per_class: int = Field(default=30, ge=1, le=1000, strict=True, description="Photographs of each flag.")
    seed: int = Field(default=1, ge=0, strict=True, description="Decides pose, light, background and noise.")
    name: DatasetName = Field(default=None, description=NAME_MEANING)


class FolderDataset(Spec):
    """A folder of class folders of image files."""

    kind: Literal["folder"] = Field(description="`folder`.")
    path: InputPath = Field(description="Root folder: one folder per class, images inside (any depth).")
    class_names: tuple[str, ...] | None = Field(
        default=None, description="Folder names in label order; default: all folders, sorted."
    )
    classes: ClassSource | None = Field(default=None, description=CLASSES_MEANING)
    ignore_other_folders: bool = Field(
        default=False,
        strict=True,
        description="Leave out, and name, folders that no class is called like, and images that lie in no folder; "
        "false: they are an error.",
    )
    name: DatasetName = Field(default=None, description=NAME_MEANING)

    @model_validator(mode="after")
    def _has_one_class_list(self) -> "FolderDataset":
        if self.classes is not None and self.class_names is not None:
            raise ValueError("class_names and classes both name the classes: drop one of them")
        return self


class SplitDataset(Spec):
    """Image files and a published few-shot split of them (`split_zhou_<DataSet>.json`)."""

    kind: Literal["split"] = Field(description="`split`.")
    path: InputPath = Field(description="The folder that the split's paths start from.")
    split_file: InputPath = Field(description="The JSON file: lists `train`, `val` and `test` of [path, label, name].")
    split: Literal["train", "val", "test"] = Field(description="Which of its lists.")
    name: DatasetName = Field(default=None, description=NAME_MEANING)


class FeaturesDataset(Spec):
    """Image features that another tool computed."""

    kind: Literal["features"] = Field(description="`features`.")
    path: InputPath = Field(
        description="An `.npz`, Parquet, `.safetensors` or `.pt` file, or a folder of clip-retrieval (`features: "
        "img_emb`) or of a Hugging Face data set."
    )
    features: str = Field(default="features", description="Array or column of image features, (images, dim).")
    labels: str = Field(default="labels", description="Array or column of label ids, (images,).")
    image_ids: str | None = Field(default=None, description="Array or column of image ids; default: row numbers.")
    class_names: str | tuple[str, ...] = Field(
        default="class_names",
        description="Array (of a Hugging Face data set, `class_names`: those of its label column), or the names "
        "themselves in label order.",
    )
    classes: ClassSource | None = Field(default=None, description=CLASSES_MEANING)
    ignore_other_folders: bool = Field(
        default=False,
        strict=True,
        description="Leave out, and name, images of classes that `classes` does not list; false: they are an error.",
    )
    name: DatasetName = Field(default=None, description=NAME_MEANING)


class LabelledDataset(Spec):
    """Images whose labels stand beside them: what these have in common."""

    path: InputPath = Field(description="A file, a folder or a pattern such as `shards/*.tar`.")
    class_names: tuple[str, ...] | None = Field(
        default=None,
        description="Names in label order; default: those that the data describes, else all labels that are words, "
        "sorted.",
    )
    classes: ClassSource | None = Field(default=None, description=CLASSES_MEANING)
    name: DatasetName = Field(default=None, description=NAME_MEANING)

    @model_validator(mode="after")
    def _has_one_class_list(self) -> Self:
        if self.classes is not None and self.class_names is not None:
            raise ValueError("class_names and classes both name the classes: drop one of them")
        return self


class TarDataset(LabelledDataset):
    """Tar shards as webdataset and img2dataset write them: files of one name are one image and its label."""

    kind: Literal["webdataset"] = Field(description="`webdataset`.")
    label: str = Field(
        default="cls",
        min_length=1,
        description="The suffix of the file that holds the label (`cls`: a number or a word); or `json.<key>`.",
    )


class ParquetDataset(LabelledDataset):
    """Parquet files with the bytes of images, as the Hugging Face hub keeps data sets."""

    kind: Literal["parquet"] = Field(description="`parquet`.")
    image: str = Field(default="image", min_length=1, description="Column of images: bytes, or a struct with `bytes`.")
    label: str = Field(default="label", min_length=1, description="Column of labels: numbers or words.")


class TableDataset(LabelledDataset):
    """A folder of image files with `metadata.csv` or `metadata.jsonl`, as Hugging Face's image folders are."""

    kind: Literal["image_folder"] = Field(description="`image_folder`.")
    label: str = Field(default="label", min_length=1, description="Column of labels: numbers or words.")


class NamedDataset(Spec):
    """A published data set by its name, with its standard splits and class names (`coder-eval data list`)."""

    kind: Literal["named"] = Field(description="`named`; may be left out.")
    name: PublishedName = Field(description="Which; docs/datasets.md has a table.")
    root: InputPath | None = Field(
        default=None,
        description="The folder that holds data sets, or this data set; default: CODER_DATA_ROOT, else "
        "`~/.cache/coder-eval/data`.",
    )
    split: SplitName | None = Field(
        default=None, description="Which part; `all`: of a data set that has none; default: what the field measures on."
    )
    lists: Literal["published", "few_shot"] | None = Field(
        default=None,
        description="Who says which image is in which part: the publisher, or the file `split_zhou_<DataSet>.json` of "
        "the few-shot splits; default: the publisher, where there are such lists.",
    )
    partial: bool = Field(
        default=False,
        strict=True,
        description="Take what is there where images are missing, and name what is not; false: that is an error.",
    )


class ManifestDataset(LabelledDataset):
    """A table of image files and their labels: CSV, TSV, JSON lines or Parquet, by its suffix."""

    kind: Literal["manifest"] = Field(description="`manifest`.")
    path: InputPath = Field(description="The table: `.csv`, `.tsv`, `.jsonl` or `.parquet`.")
    root: InputPath | None = Field(
        default=None, description="The folder that the table's paths start from; default: the table's own."
    )
    image: str = Field(default="path", min_length=1, description="Column of paths.")
    label: str = Field(default="label", min_length=1, description="Column of labels: numbers or words.")
    split: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Which images: those with this word in the column `split`; needed where there are several.",
    )


class UnlabelledDataset(Spec):
    """Images that nobody has labelled, and a list of classes: predictions, and nothing that could be measured."""

    kind: Literal["unlabelled"] = Field(description="`unlabelled`.")
    path: InputPath = Field(description="A folder (any depth), a file or a pattern.")
    classes: ClassSource = Field(description="What the images may show, in this order.")
    name: DatasetName = Field(default=None, description=NAME_MEANING)


def _named(given: Any) -> Any:
    """`{name: dtd}` is a data set by name: no other kind does without a path."""
    is_named = isinstance(given, Mapping) and "kind" not in given and "name" in given and "path" not in given
    return {"kind": "named", **given} if is_named else given


DatasetSpec = Annotated[
    FlagsDataset
    | FolderDataset
    | SplitDataset
    | FeaturesDataset
    | TarDataset
    | ParquetDataset
    | TableDataset
    | ManifestDataset
    | NamedDataset
    | UnlabelledDataset,
    Field(discriminator="kind"),
    BeforeValidator(_named),
]


def unnamed(dataset: DatasetSpec) -> DatasetSpec:
    """The data set under no name: what it is called makes no other images of it, unless it is published."""
    return dataset if isinstance(dataset, NamedDataset) else dataset.model_copy(update={"name": None})
