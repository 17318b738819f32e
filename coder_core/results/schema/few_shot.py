"""Methods that learn from a few labelled images, and what each kind of text is worth."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from coder_core.results.schema.contract import AssumesBalance, ReadsLabels, ReadsTexts, ReadsUnlabelledImages
from coder_core.results.schema.declaring import result_table
from coder_core.results.schema.measures import GroupCount
from coder_core.results.schema.row_parts import Answer, ReliabilityBin

FewShotMethod: TypeAlias = Annotated[str, "The few-shot method, e.g. `tip_adapter`, `text_discriminant`."]
Shots: TypeAlias = Annotated[int, "Support images per class."]
Draw: TypeAlias = Annotated[int, "The draw."]
CalibratedOn: TypeAlias = Annotated[
    str | None,
    "What the temperature was chosen on: `validation` (the draw's validation images), `batch` (the images under test, "
    "without labels), `stage1` (of a transduction: it is as sure of the batch as the calibrated method that it stands "
    "on), or `none`: scores are logits as they are. It changes no decision.",
]


@dataclass(frozen=True, kw_only=True)
class _OfDraw:
    """The first columns of what one method of one draw has."""

    method: FewShotMethod
    shots: Shots
    seed: Draw


@dataclass(frozen=True, kw_only=True)
class _AtTemperature(_OfDraw):
    """The same, with and without a temperature."""

    is_calibrated: Annotated[
        bool, "Whether at the temperature that was chosen; else at 1. A method without one has the latter only."
    ]


@result_table("few_shot")
@dataclass(frozen=True, kw_only=True)
class FewShotRow(_OfDraw):
    """One row per few-shot method and draw of support images."""

    n: Annotated[int, "Test images."]
    top1: Annotated[float, "Top-1 accuracy, 0..1."]
    ci_low: Annotated[float, "Lower end of its 95 % Wilson interval, over images."]
    ci_high: Annotated[float, "Upper end."]
    mean_per_class_accuracy: Annotated[float, "Over the classes that have images, 0..1."]
    settings: Annotated[str, "What was chosen, as JSON."]
    chosen_on: Annotated[str, "`validation`, `leave_one_out` (on the support) or `default`: nothing chosen."]
    chosen_n: Annotated[int, "Images it was chosen on."]
    chosen_accuracy: Annotated[float | None, "Top-1 accuracy on them, 0..1."] = None
    settings_tried: Annotated[int, "Settings compared."]
    pool_images_dropped: Annotated[int, "Pool images left out because they are test images as well."]
    reads_labels: ReadsLabels = None
    reads_unlabelled_images: ReadsUnlabelledImages = None
    assumes_balance: AssumesBalance = None
    reads_texts: ReadsTexts = None
    groups: GroupCount = None
    calibrated_on: CalibratedOn = None
    temperature: Annotated[float | None, "What the method's scores are divided by; 1 where none was chosen."] = None
    expected_calibration_error: Annotated[
        float | None, "Of the probabilities at that temperature, 0..1 (15 bins); lower is better."
    ] = None
    expected_calibration_error_low: Annotated[
        float | None,
        "Lower end of its 95 % interval: 0 where true probabilities would show as much; null where the images cannot "
        "say anything about chance.",
    ] = None
    expected_calibration_error_high: Annotated[float | None, "Upper end."] = None
    expected_calibration_error_by_chance: Annotated[
        float | None, "What true probabilities would show on average: few images make any error look large."
    ] = None
    expected_calibration_error_uncalibrated: Annotated[float | None, "The error at temperature 1."] = None
    negative_log_likelihood: Annotated[float | None, "Mean over images, in nats; lower is better."] = None
    negative_log_likelihood_uncalibrated: Annotated[float | None, "The same at temperature 1."] = None


@result_table("few_shot_summary")
@dataclass(frozen=True, kw_only=True)
class FewShotSummaryRow:
    """One row per few-shot method and number of shots, over draws."""

    method: Annotated[str, "The few-shot method."]
    shots: Shots
    draws: Annotated[int, "Draws."]
    top1: Annotated[float, "Mean top-1 accuracy over them, 0..1."]
    top1_std: Annotated[float | None, "Standard deviation over them (n - 1); null for one."] = None
    reads_labels: ReadsLabels = None
    reads_unlabelled_images: ReadsUnlabelledImages = None
    assumes_balance: AssumesBalance = None
    reads_texts: ReadsTexts = None
    calibrated_on: CalibratedOn = None
    expected_calibration_error: Annotated[float | None, "Mean over draws, 0..1; lower is better."] = None
    expected_calibration_error_by_chance: Annotated[
        float | None, "What true probabilities would show: mean over draws."
    ] = None
    expected_calibration_error_uncalibrated: Annotated[float | None, "The error at temperature 1: mean over draws."] = (
        None
    )
    negative_log_likelihood: Annotated[float | None, "In nats, mean over draws; lower is better."] = None
    negative_log_likelihood_uncalibrated: Annotated[float | None, "The same at temperature 1."] = None


@result_table("few_shot_reliability")
@dataclass(frozen=True, kw_only=True)
class FewShotReliabilityRow(ReliabilityBin, _AtTemperature):
    """One row per few-shot method, draw and bin of confidence that has images, before and after calibration."""


@result_table("few_shot_predictions")
@dataclass(frozen=True, kw_only=True)
class FewShotPredictionRow(Answer, _OfDraw):
    """One row per few-shot method, draw and image: what the method said."""

    probability_uncalibrated: Annotated[
        float | None, "The same probability at temperature 1; `probability` itself where none was chosen."
    ] = None


@result_table("ablation")
@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """One row per set of kinds of text, number of texts and draw: how good CODER is with those only."""

    kinds: Annotated[str, "Kinds of text that count, joined by `+`; with `one_to_one`, reranked."]
    texts_per_class: Annotated[int | None, "At most so many descriptive texts per class; null is all."] = None
    draw: Annotated[int, "Which random subset; in the same draw more texts contain fewer."]
    mean_texts: Annotated[float, "Descriptive texts per class that there really were, on average."]
    n: Annotated[int, "Images."]
    top1: Annotated[float, "Top-1 accuracy, 0..1."]
    ci_low: Annotated[float, "Lower end of its 95 % Wilson interval, over images."]
    ci_high: Annotated[float, "Upper end."]
    top5: Annotated[float, "Top-5 accuracy, 0..1."]
    mean_per_class_accuracy: Annotated[float, "Over the classes that have images, 0..1."]
