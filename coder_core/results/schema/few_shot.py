"""Methods that learn from a few labelled images, and what each kind of text is worth."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from coder_core.results.schema.contract import AssumesBalance, ReadsLabels, ReadsTexts, ReadsUnlabelledImages
from coder_core.results.schema.declaring import result_table

FewShotMethod: TypeAlias = Annotated[str, "The few-shot method, e.g. `tip_adapter`, `text_discriminant`."]
Shots: TypeAlias = Annotated[int, "Support images per class."]
Draw: TypeAlias = Annotated[int, "The draw."]


@result_table("few_shot")
@dataclass(frozen=True, kw_only=True)
class FewShotRow:
    """One row per few-shot method and draw of support images."""

    method: FewShotMethod
    shots: Shots
    seed: Draw
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


@result_table("few_shot_predictions")
@dataclass(frozen=True, kw_only=True)
class FewShotPredictionRow:
    """One row per few-shot method, draw and image: what the method said."""

    method: FewShotMethod
    shots: Shots
    seed: Draw
    image_id: Annotated[str, "The image, as its data set names it."]
    label: Annotated[int | None, "True class id; null when the image has no label."] = None
    label_name: Annotated[str | None, "Name of the true class."] = None
    predicted: Annotated[int, "Predicted class id."]
    predicted_name: Annotated[str, "Name of the predicted class."]
    probability: Annotated[float | None, "Softmax probability of the predicted class, 0..1."] = None
    is_correct: Annotated[bool | None, "Whether predicted equals label."] = None


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
