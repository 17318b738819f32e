"""How good every method is: over all images, class by class, image by image, and against a baseline."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from coder_core.results.schema.contract import AssumesBalance, ReadsLabels, ReadsTexts, ReadsUnlabelledImages
from coder_core.results.schema.declaring import result_table
from coder_core.results.schema.row_parts import Answer, ReliabilityBin

Method: TypeAlias = Annotated[str, "The classifier, e.g. `clip`, `coder`, `coder_rerank`, `control_waffle`."]
Baseline: TypeAlias = Annotated[str, "The method it is compared with, image by image."]
Protocol: TypeAlias = Annotated[str, "`honest`, or `reference` when a switch reproduces the paper's released code."]
PValue: TypeAlias = Annotated[float, "McNemar's exact two-sided p, 0..1."]
GroupCount: TypeAlias = Annotated[
    int | None, "Groups of images that the interval (and the p-value) is over; null where every image stands alone."
]
ClassId: TypeAlias = Annotated[int, "Position of the class in the class list, from 0."]
ClassName: TypeAlias = Annotated[str, "Its name; two classes may share one."]


@dataclass(frozen=True, kw_only=True)
class _OfMethod:
    """The first column where the others are a part of several tables."""

    method: Method


@result_table("metrics")
@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One row per method and number: how good the method is."""

    method: Method
    metric: Annotated[
        str,
        "`top1`, `top5`, `mean_per_class_accuracy`, `expected_calibration_error` (15 bins), or "
        "`negative_log_likelihood`, and, as in older runs, `negative_log_likelihood_top5`: exact where the true class "
        "is among the five best, else the rest of the "
        "mass spread evenly.",
    ]
    value: Annotated[float, "Accuracies and calibration error in 0..1; likelihood in nats, lower is better."]
    n: Annotated[int, "Images (or classes, for a mean over classes) that the value rests on."]
    ci_low: Annotated[
        float | None,
        "Lower end of the 95 % interval; null where the images cannot say anything about chance: for a likelihood of "
        "which all images have the same, as a single image has.",
    ] = None
    ci_high: Annotated[float | None, "Upper end of the 95 % interval."] = None
    protocol: Protocol
    reads_labels: ReadsLabels = None
    reads_unlabelled_images: ReadsUnlabelledImages = None
    assumes_balance: AssumesBalance = None
    reads_texts: ReadsTexts = None
    groups: GroupCount = None
    classes_without_texts: Annotated[
        int | None,
        "Classes of which the method had no text but their names, which is all that it judges them by; null for a "
        "method that reads nothing else, and for a control.",
    ] = None


@result_table("reliability")
@dataclass(frozen=True, kw_only=True)
class ReliabilityRow(ReliabilityBin, _OfMethod):
    """One row per method and bin of confidence that has images: whether what is said with 80 % is right in 80 %."""

    protocol: Protocol


@result_table("comparisons")
@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One row per method and metric: what it gains over the baseline."""

    method: Method
    baseline: Baseline
    metric: Annotated[str, "`top1`, `top5` or `mean_per_class_accuracy`."]
    difference: Annotated[float, "The method's value minus the baseline's, -1..1."]
    n: Annotated[int, "Images behind it."]
    ci_low: Annotated[
        float | None,
        "Lower end of the paired 95 % interval (Tango's; of a mean over classes, within classes); null in older runs "
        "between methods that are right about the same images.",
    ] = None
    ci_high: Annotated[float | None, "Upper end of the paired 95 % interval."] = None
    gained: Annotated[int, "Images that only the method gets right."]
    lost: Annotated[int, "Images that only the baseline gets right."]
    p_value: Annotated[float | None, "McNemar's exact two-sided p; null for a mean over classes."] = None
    p_holm: Annotated[
        float | None,
        "The same after Holm's correction over all methods that have read as much, of labels and of unlabelled images, "
        "and assume as much. Controls are corrected together, against the method that they control only.",
    ] = None
    protocol: Protocol
    reads_labels: ReadsLabels = None
    reads_unlabelled_images: ReadsUnlabelledImages = None
    assumes_balance: AssumesBalance = None
    reads_texts: ReadsTexts = None
    groups: GroupCount = None
    controls: Annotated[str | None, "The method that it controls, where it is a control."] = None


@result_table("predictions")
@dataclass(frozen=True, kw_only=True)
class PredictionRow(Answer, _OfMethod):
    """One row per method and image: what the method said."""

    top5: Annotated[list[int], "The best class ids, best first; fewer than five when there are fewer classes."]
    protocol: Protocol
    location: Annotated[str | None, "Where the image is: a path or URL; null for one that is no file."] = None
    true_probability: Annotated[
        float | None, "Softmax probability of the true class, 0..1; null where it is not among the stored best."
    ] = None


@result_table("class_metrics")
@dataclass(frozen=True, kw_only=True)
class ClassMetricRow:
    """One row per method and class: how the method fares on it."""

    method: Method
    class_id: ClassId
    class_name: ClassName
    n: Annotated[int, "Images of this class."]
    recall: Annotated[float | None, "Share of its images that are predicted as it, 0..1."] = None
    precision: Annotated[float | None, "Share of such predictions that are right, 0..1."] = None
    protocol: Protocol


@result_table("confusions")
@dataclass(frozen=True, kw_only=True)
class ConfusionRow:
    """One row per method and pair of classes that it confuses."""

    method: Method
    class_id: ClassId
    class_name: ClassName
    predicted: Annotated[int, "The other class that images of this class were taken for."]
    predicted_name: Annotated[str, "Its name."]
    count: Annotated[int, "Images, at least 1."]
    protocol: Protocol


@result_table("class_comparisons")
@dataclass(frozen=True, kw_only=True)
class ClassComparisonRow:
    """One row per method and class that has images: where it gains and where it loses against the baseline."""

    method: Method
    baseline: Baseline
    class_id: ClassId
    class_name: ClassName
    n: Annotated[int, "Images of this class, at least 1."]
    recall_baseline: Annotated[float, "Share of them that the baseline finds, 0..1."]
    recall: Annotated[float, "Share that the method finds, 0..1."]
    gained: Annotated[int, "Images that only the method finds."]
    lost: Annotated[int, "Images that only the baseline finds."]
    p_value: PValue
    p_holm: Annotated[float, "The same after Holm's correction over the classes."]
    protocol: Protocol


@result_table("confusion_comparisons")
@dataclass(frozen=True, kw_only=True)
class ConfusionComparisonRow:
    """One row per method and pair of classes that it or the baseline confuses."""

    method: Method
    baseline: Baseline
    class_id: ClassId
    class_name: ClassName
    predicted: Annotated[
        int,
        "The class that images of this class are taken for. A method has 10,000 pairs here at most, the most "
        "frequent ones in both methods together.",
    ]
    predicted_name: Annotated[str, "Its name."]
    n_baseline: Annotated[int, "Images that the baseline so mistakes."]
    n: Annotated[int, "Images that the method so mistakes."]
    resolved: Annotated[int, "Images so mistaken by the baseline only; a third class may be wrong, too."]
    introduced: Annotated[int, "Images so mistaken by the method only."]
    p_value: PValue
    p_holm: Annotated[float, "The same after Holm's correction over all pairs, also those that were cut."]
    protocol: Protocol
