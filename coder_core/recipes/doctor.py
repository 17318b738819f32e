"""The name doctor: what is wrong with class names, label order and texts, before anything is spent on them.

`look_at_names` reads names, texts and the listing, in the check before every run. `look_through_encoder` embeds a
handful of images as well: for `coder-eval doctor` and `try`, and before a language model is paid.
"""

from collections.abc import Mapping, Sequence

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.encoders.imagenet_names import names_by_wordnet_id
from coder_core.encoders.registry import find_family
from coder_core.images.renamed_classes import open_renamed
from coder_core.images.sampled_images import SampledImages
from coder_core.images.sources import ImageSource
from coder_core.pipeline.runner import Runner
from coder_core.review.finding import Fault, Finding, show_names
from coder_core.review.name_checks import check_names
from coder_core.review.text_checks import check_texts
from coder_core.specs import EvalSpec
from coder_core.steps.compare_names import CompareNames, NameFit, Order, SampleDataset, moved_classes
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.preflight import CheckStore, IdentifyEncoder
from coder_core.texts.bank import TextBank

KNOWS_NAMES = 2.0
"""Times chance from which on a model is taken to know the names of the classes."""


def look_at_names(spec: EvalSpec, source: ImageSource, bank: TextBank | None = None) -> list[Finding]:
    """Examine what can be read without a model: names, which classes have images, texts.

    Args:
        spec: The evaluation.
        source: Its data set, under the names of `class_names`.
        bank: Its phrases, where they are known.
    """
    classes = source.classes
    found: list[Finding] = []
    if find_family(spec.encoder.kind).needs_device:  # else texts were embedded under these very names
        found += check_names(classes, domain=spec.texts.domain, wordnet_names=names_by_wordnet_id)
    found += check_images(source) if spec.dataset.kind not in ("flags", "unlabelled") else []
    found += check_texts(classes, bank, domain=spec.texts.domain) if bank is not None else []
    return found


def check_images(source: ImageSource) -> list[Finding]:
    """Classes of the list that no image of the data set has."""
    counts = SampledImages(source, 1).class_counts
    empty = tuple(label for label, count in enumerate(counts) if not count)
    if not empty:
        return []
    problem = f"{len(empty)} of {counted(len(counts), 'class')} have no image: {show_names(source.classes, empty)}."
    return [Finding(Fault.NO_IMAGES, empty, problem, "They compete, and cannot be measured: add images, or drop them.")]


def look_through_encoder(spec: EvalSpec, run: Runner) -> list[Finding]:
    """Examine labels, names and texts by a handful of images per class. No language model is asked.

    Args:
        spec: The evaluation.
        run: The runner; what it embeds stays in the store for the evaluation.
    """
    if spec.dataset.kind == "unlabelled":
        return []
    run(CheckStore())
    encoder = run(IdentifyEncoder(encoder=spec.encoder))
    sample = run(SampleDataset(source=spec.dataset, class_names=spec.class_names))
    images = run(EmbedImages(images=sample.images, encoder=encoder))
    fit = run(CompareNames(sample=sample, images=images, texts=spec.texts, encoder=encoder))
    return explain_fit(fit, open_renamed(spec.dataset, spec.class_names).classes, spec.texts.domain)


def explain_fit(fit: NameFit, classes: ClassList, domain: str) -> list[Finding]:
    """What a comparison means, as findings."""
    found: list[Finding] = []
    knows_names = fit.name_hits * len(classes) > KNOWS_NAMES * fit.images
    if fit.by_name is not None:
        found.append(_label_order(fit.by_name, classes))
    elif fit.by_texts is not None:
        found.append(_other_texts(fit.by_texts, classes, is_certain=knows_names))
    if fit.domains is not None:
        better = fit.domains
        problem = (
            f"of {counted(fit.images, 'image')} {better.hits_given} are right by sentences of {domain!r}, "
            f"{better.hits} by those of {better.name!r}."
        )
        found.append(Finding(Fault.DOMAIN, (), problem, f"Set texts.domain: {better.name}."))
    return found


def _label_order(order: Order, classes: ClassList) -> Finding:
    problem = f"the order of the names does not fit the labels: {_shown(order, classes)} ({_hits(order)})."
    remedy = "Compare a few images with their names: the order is another one, or the model confuses these classes."
    return Finding(Fault.LABEL_ORDER, moved_classes(order.names), problem, remedy)


def _other_texts(order: Order, classes: ClassList, *, is_certain: bool) -> Finding:
    what = "the texts" if is_certain else "the texts, or the labels,"
    problem = f"{what} are those of other classes: {_shown(order, classes)} ({_hits(order)})."
    return Finding(Fault.OTHER_CLASS, moved_classes(order.names), problem, "Give each class its own texts.")


def _shown(order: Order, classes: ClassList) -> str:
    moved = moved_classes(order.names)
    pairs = [f"images of {classes.names[label]!r} fit {classes.names[order.names[label]]!r}" for label in moved[:3]]
    rest = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return f"{', '.join(pairs)}{rest}"


def _hits(order: Order) -> str:
    images = counted(order.images, "image")
    return f"of {images} {order.hits_given} are right as given, {order.hits_found} in the order that fits"


def mapping_of(findings: Sequence[Finding], own: ClassList, given: Mapping[str, str]) -> dict[str, str]:
    """The `class_names` that `--fix` writes: what the config has, and what was proposed beside it.

    Args:
        findings: With their proposals.
        own: The classes as the data set itself names them.
        given: `class_names` of the config.

    Returns:
        The data set's name (of two classes of one name: the stable id, or nothing) -> new name.
    """
    mapping = dict(given)
    for finding in findings:
        for label, name in finding.new_names.items():
            key = own.names[label]
            if len(own.ids_of(key)) > 1:
                key = own.stable_ids[label] if own.stable_ids else ""
            if key:
                mapping[key] = name
    return mapping
