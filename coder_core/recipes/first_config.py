"""From a folder of photographs and a few words to a config like any other: behind `coder-eval try` and `init`.

Nothing is decided here that the config does not say: whoever wants something else edits it.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coder_core.class_source.read_class_source import read_class_source
from coder_core.class_source.settings import ClassFile
from coder_core.classes import ClassList, normalise_name, rename_classes
from coder_core.config import validate_spec
from coder_core.counted import counted
from coder_core.datasets.catalogue import CATALOGUE
from coder_core.datasets.named_settings import named_settings
from coder_core.datasets.places import meant_by
from coder_core.encoders.model_names import encoder_settings
from coder_core.errors import ConfigError, InputError
from coder_core.fingerprint import content_hash
from coder_core.images.formats import has_image_suffix
from coder_core.images.manifests import GROUP_COLUMN, ManifestLook, look_at_manifest
from coder_core.images.nested_folders import LEARNT, PARTS, TESTED
from coder_core.images.renamed_classes import under_names
from coder_core.images.sources import ImageSource, open_source
from coder_core.recipes.config_files import all_or_nothing, is_as_written, render_config
from coder_core.recipes.doctor import look_at_names, mapping_of
from coder_core.review.finding import Finding
from coder_core.specs import EvalSpec, FolderDataset
from coder_core.steps.assemble_bank import domain_of
from coder_core.storage.manifest_tables import is_manifest
from coder_core.texts.bank_file import write_text_bank
from coder_core.texts.published.published_texts import read_published_texts

PACKED = {
    ".tar": ("tar shards", "webdataset"),
    ".parquet": ("Parquet files", "parquet"),
    "metadata.csv": ("images whose labels stand in metadata.csv", "image_folder"),
    "metadata.jsonl": ("images whose labels stand in metadata.jsonl", "image_folder"),
}
"""How the name of a file ends -> what a folder of such files holds, and the kind of data set that reads it."""
LISTED_AT_ONCE = 4096
NAMES_ONLY = ("clip", "clip_ensemble")
WITH_TEXTS = ("clip", "clip_ensemble", "vcd", "coder")
LLM = "llm"


@dataclass(frozen=True)
class Wish:
    """What a person asks for.

    Attributes:
        images: A folder of class folders, or of unsorted images; a manifest; or a published data set by its name.
        model: See `encoders.model_names`.
        classes: A file of class names: for unsorted images, or those of the folders that count.
        texts: A text bank (YAML), published texts (JSON), or `llm:MODEL`.
        shots: Images per class to learn from; they are taken out of the test.
        domain: Whose sentences.
        name: Of the evaluation; default: the folder's.
    """

    images: str
    model: str
    classes: str | None = None
    texts: str | None = None
    shots: int | None = None
    domain: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class FirstConfig:
    """A config that was written.

    Attributes:
        path: The file.
        spec: What it says.
        mended: Faults of names that `class_names` in it mends.
        files: What was written beside it.
        notes: What to know of published texts, one line each.
    """

    path: Path
    spec: EvalSpec
    mended: tuple[Finding, ...] = ()
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def write_first_config(wish: Wish, path: Path | None = None, *, is_forced: bool = False) -> FirstConfig:
    """Write the config of a wish.

    Args:
        wish: What is asked for.
        path: Where to; default: `<name>.yaml` here.
        is_forced: Whether a file with other content is replaced, be it edited or not of this project.

    Raises:
        InputError: The folder holds no images, or nothing that could be a class; or another file is in the way. A
            config that is as this function left it is in nobody's way.
        ConfigError: The wish contradicts itself.
    """
    name = wish.name or _name_of(wish.images)
    path = path or Path(f"{name}.yaml")
    base = path.parent
    is_forced = is_forced or is_as_written(path)
    if wish.domain is None and (published := meant_by(wish.images, wish.images)):
        wish = replace(wish, domain=CATALOGUE[published].domain)
    settings: dict[str, Any] = {
        "name": name,
        "dataset": dataset_settings(wish, base),
        "encoder": encoder_settings(wish.model),
        "methods": list(NAMES_ONLY),
    }
    if settings["dataset"]["kind"] == "manifest" and look_at_manifest(str(Path(wish.images).expanduser())).has_groups:
        settings["groups"] = {"column": GROUP_COLUMN}
    files: dict[Path, str] = {}
    _add_shots(settings, wish, base, files)
    with all_or_nothing(is_forced=is_forced) as write:
        for file, content in files.items():  # a split is read when the data set is opened
            write(file, content)
        source = open_source(_spec(settings, path).dataset)
        mended = _mend_names(settings, source, path)
        called = rename_classes(
            source.classes, settings.get("class_names", {}), str(path)
        )  # published texts: `annual crop`
        texts = _texts(wish, called, base, name)
        settings["texts"] = texts.settings
        if texts.describes:
            settings["methods"] = list(WITH_TEXTS)
        for file, content in texts.files.items():
            write(file, content)
        spec = _spec(settings, path)
        domain_of(spec.texts)  # a misspelt one is told before it stands in a file
        write(path, render_config(_known(settings), path, {**files, **texts.files}))
    return FirstConfig(path, spec, mended, (*files, *texts.files), (*_told_part(wish, spec), *texts.notes))


def _told_part(wish: Wish, spec: EvalSpec) -> tuple[str, ...]:
    """Which of the parts that a folder holds is measured on."""
    if not isinstance(spec.dataset, FolderDataset) or Path(spec.dataset.path).name.lower() not in PARTS:
        return ()
    part = Path(spec.dataset.path)
    if not part.parent.samefile(Path(wish.images).expanduser()):
        return ()
    pool = spec.few_shot.pool if spec.few_shot else None
    learnt = f", {Path(pool.path).name} is learnt from" if isinstance(pool, FolderDataset) else ""
    return (f"{wish.images} holds parts of a data set: {part.name} is measured on{learnt}",)


def _name_of(images: str) -> str:
    path = Path(images).resolve()
    called = path.stem if is_manifest(images) else path.name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", called).strip("-._")
    return name[:100] or "images"


def _spec(settings: Mapping[str, Any], path: Path) -> EvalSpec:
    return validate_spec(settings, place=str(path), base=str(path.parent.resolve()))


def _from(base: Path, location: str) -> str:
    """A path as the config says it: from its own folder where it lies below, else whole."""
    found, root = Path(location).expanduser().absolute(), base.absolute()  # a link stays the name that was given
    return found.relative_to(root).as_posix() if found.is_relative_to(root) and found != root else str(found)


def dataset_settings(wish: Wish, base: Path) -> dict[str, Any]:
    """The data set that a folder is: its class folders, or those of a `test` folder in it, or unsorted images.

    Args:
        wish: `images` and `classes` of it count.
        base: The folder that relative paths start from.

    Raises:
        InputError: There is no such folder, or it holds no images.
    """
    root = Path(wish.images).expanduser()
    listed: dict[str, Any] = {"classes": {"kind": "file", "path": _from(base, wish.classes)}} if wish.classes else {}
    if published := meant_by(wish.images, wish.images):
        if listed:
            problem = f"{published} has classes of its own."
            raise ConfigError(problem, "--classes", "Leave it out; class_names in the config calls them otherwise.")
        return {"kind": "named", "name": published}
    if is_manifest(wish.images) and root.is_file():
        look = look_at_manifest(str(root))
        if listed and look.has_numbers:  # names in label order, as the manifest's own setting has them
            listed = {"class_names": list(_listed_names(wish))}
        return {"kind": "manifest", "path": _from(base, wish.images), **_tested(look), **listed}
    if listed and root.is_file() and has_image_suffix(root.name):
        return {"kind": "unlabelled", "path": _from(base, wish.images), **listed}
    if not wish.images.strip() or not root.is_dir():
        remedy = "Name a folder of class folders or of images, a manifest (.csv), or a data set (coder-eval data list)."
        what = "file" if is_manifest(wish.images) else "folder"
        problem = "it is a file and no folder." if root.is_file() else f"there is no such {what}."
        raise InputError(problem, wish.images or "FOLDER", remedy)
    return {**_folder_settings(root, wish, base), **listed}


def _folder_settings(root: Path, wish: Wish, base: Path) -> dict[str, Any]:
    """Whether a folder holds class folders, parts of a data set, or unsorted images."""
    folders, has_images = _look_at_top(root)
    if not folders and not (wish.classes and has_images):
        _refuse_packed(root, wish)
    if wish.classes and (has_images or not folders):
        _refuse_sorted(folders, wish)
        return {"kind": "unlabelled", "path": _from(base, wish.images)}
    if not folders:
        what = "images, and no class folders" if has_images else "no image and no folder"
        raise InputError(f"it holds {what}.", wish.images, "Name the classes: --classes names.txt, one per line.")
    parts = {folder.lower(): folder for folder in folders}
    if parts.keys() <= set(PARTS):
        root = root / parts[next((part for part in TESTED if part in parts), min(parts))]
    return {"kind": "folder", "path": _from(base, str(root))}


def _refuse_packed(root: Path, wish: Wish) -> None:
    """Shards, or a table of labels: a data set that only a config can name."""
    names = sorted(path.name for path in root.iterdir() if path.is_file())
    for ending, (what, kind) in PACKED.items():
        if any(name.endswith(ending) for name in names):
            remedy = f"Say so in a config, dataset: {{kind: {kind}, path: ...}}, and `coder-eval run` it."
            raise InputError(f"it holds {what}, which is no folder of class folders.", wish.images, remedy)


def _refuse_sorted(folders: Sequence[str], wish: Wish) -> None:
    """Images beside class folders: as unsorted ones they would lose the labels that the folders are."""
    if not folders or not wish.classes:
        return
    names = {normalise_name(name) for name in _listed_names(wish)}
    sorted_into = [folder for folder in folders if normalise_name(folder) in names]
    if sorted_into:
        problem = f"images lie beside folders that are called like classes, {sorted_into[0]!r} for one."
        remedy = "Move them into class folders; or put images that nobody has sorted into a folder of their own."
        raise InputError(problem, wish.images, remedy)


def _listed_names(wish: Wish) -> tuple[str, ...]:
    """The names of `--classes`, in the order of the file."""
    source = ClassFile(kind="file", path=str(Path(wish.classes or "").expanduser().absolute()))
    return read_class_source(source, settle_seconds=0).names


def _tested(manifest: ManifestLook) -> dict[str, str]:
    """The split of a manifest that is measured on, where it has several."""
    called = {split.lower(): split for split in manifest.splits} if len(manifest.splits) > 1 else {}
    return next(({"split": called[part]} for part in TESTED if part in called), {})


def _look_at_top(root: Path) -> tuple[list[str], bool]:
    """Folders in the folder, and whether images lie beside them; nothing deeper is looked at."""
    folders, has_images = [], False
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                folders.append(entry.name)
            has_images = has_images or (not entry.is_dir() and has_image_suffix(entry.name))
    return sorted(folders), has_images


def _add_shots(settings: dict[str, Any], wish: Wish, base: Path, files: dict[Path, str]) -> None:
    """Few-shot: the part to learn from beside the one under test; else images are taken out of the test."""
    if wish.shots is None:
        return
    dataset = settings["dataset"]
    if dataset["kind"] == "unlabelled":
        raise ConfigError("unsorted images have no labels to learn from.", "--shots", "Sort some into class folders.")
    pool = _published_pool(dataset) if dataset["kind"] == "named" else find_pool(dataset, base)
    if pool is None and dataset["kind"] == "manifest":
        remedy = "Name them `train` in a column `split`, and others `test`."
        raise ConfigError("no rows are there to learn from.", "--shots", remedy)
    if pool is None:
        file = base / f"{settings['name']}-split.json"
        files[file] = _split(base / dataset["path"], dataset, wish.shots)
        split = {"kind": "split", "path": dataset["path"], "split_file": file.name}
        called = {"name": settings["name"]}
        settings["dataset"], pool = {**split, "split": "test", **called}, {**split, "split": "train", **called}
    settings["few_shot"] = _few_shot(pool, wish.shots)


def find_pool(dataset: Mapping[str, Any], base: Path) -> dict[str, Any] | None:
    """The part to learn from beside the part of a data set that is under test: `train` beside `test`.

    Args:
        dataset: By `dataset_settings`.
        base: The folder that its relative path starts from.

    Returns:
        Settings of a data set; None where there is no such part.
    """
    if dataset["kind"] == "manifest" and "split" in dataset:
        splits = look_at_manifest(str(base / dataset["path"])).splits
        learnt = next((split for split in sorted(splits) if split.lower() in LEARNT), None)
        return None if learnt is None else {**dataset, "split": learnt}
    train = _train_beside(base / dataset["path"]) if dataset["kind"] == "folder" else None
    return None if train is None else {**dataset, "path": _from(base, str(train))}


def _train_beside(root: Path) -> Path | None:
    """The folder of training images beside a folder of those under test."""
    if root.name.lower() not in TESTED:
        return None
    return next((folder for folder in sorted(root.parent.iterdir()) if folder.name.lower() in LEARNT), None)


def _few_shot(pool: Mapping[str, Any], shots: int) -> dict[str, Any]:
    return {"pool": pool, "shots": [shots], "draws": 1, "validation_per_class": 0}


def _published_pool(dataset: Mapping[str, Any]) -> dict[str, Any]:
    found = named_settings(dataset["name"], {}).get("few_shot")
    if found is None:
        problem = f"{dataset['name']} has no images to learn from."
        raise ConfigError(problem, "--shots", "Write few_shot.pool into the config.")
    return dict(found["pool"])


def _split(root: Path, dataset: Mapping[str, Any], shots: int) -> str:
    """Some images of every class for `train`, always the same (smallest hash of the name); others are `test`."""
    given = {**dataset, "path": str(root.resolve())}
    source = open_source(FolderDataset.model_validate(given, context={"base": str(root.parent.resolve())}))
    images: dict[int, list[str]] = {}
    for batch in source.batches(LISTED_AT_ONCE):
        for image_id, label in zip(batch.image_ids, [] if batch.label_ids is None else batch.label_ids, strict=True):
            images.setdefault(int(label), []).append(image_id)
    if empty := [name for label, name in enumerate(source.classes.names) if label not in images]:
        problem = (
            f"{counted(len(empty), 'listed class has', 'listed classes have')} no image to learn from, "
            f"{empty[0]!r} for one."
        )
        raise InputError(problem, str(root), "Add images, or take these names out of the class list.")
    parts: dict[str, list[tuple[str, int, str]]] = {"train": [], "val": [], "test": []}
    for label, ids in sorted(images.items()):
        name = source.classes.names[label]
        if len(ids) <= shots:
            problem = f"class {name!r} has {counted(len(ids), 'image')}: {shots} to learn from leave none to test."
            raise InputError(problem, str(root), "Ask for fewer shots, or add images.")
        chosen = set(sorted(ids, key=lambda image_id: content_hash(image_id.encode()))[:shots])
        for image_id in ids:
            parts["train" if image_id in chosen else "test"].append((image_id, label, name))
    return json.dumps(parts, ensure_ascii=False, indent=0)


@dataclass(frozen=True)
class _Texts:
    """What `texts` says, whether classes are described by it, and a bank that is to be written."""

    settings: dict[str, Any]
    describes: bool = False
    files: dict[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _texts(wish: Wish, classes: ClassList, base: Path, name: str) -> _Texts:
    domain = {"domain": wish.domain} if wish.domain else {}
    if wish.texts is None:
        return _Texts(domain)
    if wish.texts == LLM or wish.texts.startswith(f"{LLM}:"):
        model = wish.texts.removeprefix(LLM).removeprefix(":")
        if not model:
            remedy = "Name the model as its server knows it: --texts llm:gpt-4o-mini."
            raise ConfigError("which language model?", "--texts", remedy)
        return _Texts({"generator": {"model": model}, **domain}, describes=True)
    if not wish.texts.endswith(".json"):
        return _Texts({"bank": _from(base, wish.texts), **domain}, describes=True)
    try:
        content = Path(wish.texts).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"it cannot be read ({type(error).__name__}).", wish.texts, "Check the path.") from error
    published = read_published_texts(content, place=wish.texts, classes=classes)
    bank = base / f"{name}-texts.yaml"
    report = published.report
    kept, described = sum(count.kept for count in report.counts), len(classes) - len(report.without_texts)
    note = (
        f"{wish.texts}: {counted(kept, 'phrase')} for {described} of {counted(len(classes), 'class')}; "
        f"{counted(len(report.unmatched), 'entry')} about no class (coder-eval texts import names them)"
    )
    return _Texts({"bank": bank.name, **domain}, True, {bank: write_text_bank(published.bank, classes)}, (note,))


def _mend_names(settings: dict[str, Any], source: ImageSource, path: Path) -> tuple[Finding, ...]:
    """Put the doctor's names into a config that nobody has edited yet; gives the faults that they mend."""
    spec = _spec(settings, path)
    found = look_at_names(spec, under_names(source, spec.class_names))
    mapping = mapping_of(found, source.classes, spec.class_names)
    if mapping:
        settings["class_names"] = mapping
    return tuple(finding for finding in found if finding.new_names)


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    order = ("name", "dataset", "groups", "class_names", "encoder", "texts", "methods", "few_shot")
    return {key: settings[key] for key in order if settings.get(key)}
