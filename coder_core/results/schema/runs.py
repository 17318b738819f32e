"""What a run was, what it was made from, and what it cost."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from coder_core.results.schema.declaring import result_table


@result_table("runs")
@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One row per run: what was evaluated, on what, and how much of it was computed in this run."""

    name: Annotated[str, "Name of the evaluation, from its config."]
    spec_key: Annotated[str, "sha256 of everything that decides the result, 64 hexadecimal digits."]
    spec_json: Annotated[str, "What was hashed: the whole specification as canonical JSON."]
    started_at: Annotated[datetime, "UTC."]
    finished_at: Annotated[datetime, "UTC."]
    encoder: Annotated[str, "Architecture and weights, e.g. `ViT-B-32/openai`."]
    dataset: Annotated[str, "Name of the data set, e.g. `flags`; what it held is `dataset_key`."]
    class_count: Annotated[int, "Classes in the class list."]
    image_count: Annotated[int, "Images classified."]
    text_count: Annotated[int, "Texts in the text bank."]
    texts_embedded: Annotated[int, "Texts embedded by this run."]
    texts_reused: Annotated[int, "Texts whose embedding was in the ledger already."]
    images_embedded: Annotated[int, "Images embedded by this run."]
    images_reused: Annotated[int, "Images whose embedding was in the ledger already."]
    images_quarantined: Annotated[int, "Images that could not be read and were left out; see `quarantine`."]
    device: Annotated[str, "Where the towers ran, e.g. `cpu` or `cuda`."]
    code_version: Annotated[str, "Version of this package that made the result."]
    dataset_key: Annotated[str, "Key of the artifact that lists the images."]
    labels_key: Annotated[str, "Key of the artifact that holds their labels."]
    encoder_key: Annotated[str, "Key of all that decides an embedding: architecture, weights, preprocessing."]
    texts_key: Annotated[str, "Key of the artifact that holds the texts."]
    images_ignored: Annotated[int, "Files below class folders that are no images; see `ignored`."]
    engine: Annotated[str, "What ran the steps: `inline`, `threads`, `dask` or `ray`."]
    best_method: Annotated[str | None, "The method with the highest top-1 accuracy; null without labels."] = None
    best_top1: Annotated[float | None, "Its top-1 accuracy, 0..1."] = None
    learnt_logit_scale: Annotated[
        float | None, "Factor from cosine to logit that the encoder has learnt; null where it has none."
    ] = None
    learnt_logit_bias: Annotated[
        float | None,
        "What it adds: such a model (SigLIP) learnt the sigmoid of every single pair. Probabilities here are softmax "
        "over the classes of `logit_scale` x similarity all the same, whatever the encoder has learnt.",
    ] = None


@result_table("timings")
@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """One row per step of a run: how long it took, and how much of it was in the store already."""

    step: Annotated[str, "The step of the main path."]
    seconds: Annotated[float, "Time spent in this run; work of several tasks added up."]
    rows: Annotated[int, "Rows of what the step produced."]
    computed: Annotated[int, "Rows among them computed in this run; the others were in the store."]
    items_per_second: Annotated[
        float | None, "Texts or images a second through the model, of one worker; null where none went through it."
    ] = None
    device_share: Annotated[float | None, "Share of that time in which the device computed, 0..1."] = None
    decode_share: Annotated[float | None, "Share of it in which the work waited for decoding or tokenising, 0..1."] = (
        None
    )
    read_share: Annotated[float | None, "Share of it in which the work waited for bytes, 0..1."] = None
    write_share: Annotated[float | None, "Share of it in which the work waited for the store, 0..1."] = None


@result_table("artifacts")
@dataclass(frozen=True, kw_only=True)
class ArtifactRow:
    """One row per artifact that a run made or found."""

    step: Annotated[str, "The step that made or found it."]
    kind: Annotated[str, "What it is: the first folder under `artifacts` in the store."]
    key: Annotated[str, "sha256 of what it was made from: the folder below."]
    rows: Annotated[int, "Its rows."]


@result_table("quarantine")
@dataclass(frozen=True, kw_only=True)
class QuarantineRow:
    """One row per image that could not be read."""

    image_id: Annotated[str, "An image that could not be read and was left out."]
    problem: Annotated[str, "What is wrong with it."]
    location: Annotated[str | None, "Where it is: a path or URL."] = None


@result_table("ignored")
@dataclass(frozen=True, kw_only=True)
class IgnoredRow:
    """One row per file below the class folders that was taken for no image."""

    location: Annotated[str, "Where it is: a path or URL."]
    reason: Annotated[str, "Why it is no image."]
