"""Every column of every result table, documented in this one place.

`coder-eval tables` and the docs print it, `results` checks every written table against it, and `warehouse` types its
views by it. Times are UTC. A column is `optional` when a row may have nothing to say there (null).
"""

from typing import Literal, NamedTuple

from coder_core.errors import StoreError

ColumnType = Literal["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "BIGINT[]"]
RUN_ID = "run_id"
RUNS = "runs"


class Column(NamedTuple):
    """One column: its name, its DuckDB type, and what it says (with unit and range)."""

    name: str
    type: ColumnType
    description: str
    optional: bool = False


_RUN = Column(RUN_ID, "VARCHAR", "The evaluation run; joins all tables.")
_METHOD = Column("method", "VARCHAR", "The classifier, e.g. `clip`, `coder`, `coder_rerank`, `control_waffle`.")
_PROTOCOL = Column(
    "protocol", "VARCHAR", "`honest`, or `reference` when a switch reproduces the paper's released code."
)
_BASELINE = Column("baseline", "VARCHAR", "The method it is compared with, image by image.")
_P_VALUE = Column("p_value", "DOUBLE", "McNemar's exact two-sided p, 0..1.")
_CLASS_ID = Column("class_id", "BIGINT", "Position of the class in the class list, from 0.")
_CLASS_NAME = Column("class_name", "VARCHAR", "Its name; two classes may share one.")

TABLES: dict[str, tuple[Column, ...]] = {
    RUNS: (
        _RUN,
        Column("name", "VARCHAR", "Name of the evaluation, from its config."),
        Column("spec_key", "VARCHAR", "sha256 of everything that decides the result, 64 hexadecimal digits."),
        Column("spec_json", "VARCHAR", "What was hashed: the whole specification as canonical JSON."),
        Column("started_at", "TIMESTAMP", "UTC."),
        Column("finished_at", "TIMESTAMP", "UTC."),
        Column("encoder", "VARCHAR", "Architecture and weights, e.g. `ViT-B-32/openai`."),
        Column("dataset", "VARCHAR", "Name of the data set."),
        Column("class_count", "BIGINT", "Classes in the class list."),
        Column("image_count", "BIGINT", "Images classified."),
        Column("text_count", "BIGINT", "Texts in the text bank."),
        Column("texts_embedded", "BIGINT", "Texts embedded by this run."),
        Column("texts_reused", "BIGINT", "Texts whose embedding was in the ledger already."),
        Column("images_embedded", "BIGINT", "Images embedded by this run."),
        Column("images_reused", "BIGINT", "Images whose embedding was in the ledger already."),
        Column("images_quarantined", "BIGINT", "Images that could not be read and were left out."),
        Column("device", "VARCHAR", "Where the towers ran, e.g. `cpu` or `cuda`."),
        Column("code_version", "VARCHAR", "Version of this package that made the result."),
    ),
    "metrics": (
        _RUN,
        _METHOD,
        Column(
            "metric",
            "VARCHAR",
            "`top1`, `top5`, `mean_per_class_accuracy`, `expected_calibration_error` (15 bins), or "
            "`negative_log_likelihood_top5`: exact where the true class is among the five best, else the rest of the "
            "mass spread evenly.",
        ),
        Column("value", "DOUBLE", "Accuracies and calibration error in 0..1; likelihood in nats, lower is better."),
        Column("n", "BIGINT", "Images (or classes, for a mean over classes) that the value rests on."),
        Column("ci_low", "DOUBLE", "Lower end of the 95 % interval.", optional=True),
        Column("ci_high", "DOUBLE", "Upper end of the 95 % interval.", optional=True),
        _PROTOCOL,
    ),
    "comparisons": (
        _RUN,
        _METHOD,
        _BASELINE,
        Column("metric", "VARCHAR", "`top1`, `top5` or `mean_per_class_accuracy`."),
        Column("difference", "DOUBLE", "The method's value minus the baseline's, -1..1."),
        Column("n", "BIGINT", "Images behind it."),
        Column("ci_low", "DOUBLE", "Lower end of the paired 95 % bootstrap interval."),
        Column("ci_high", "DOUBLE", "Upper end of the paired 95 % bootstrap interval."),
        Column("gained", "BIGINT", "Images that only the method gets right."),
        Column("lost", "BIGINT", "Images that only the baseline gets right."),
        Column("p_value", "DOUBLE", "McNemar's exact two-sided p; null for a mean over classes.", optional=True),
        Column("p_holm", "DOUBLE", "The same after Holm's correction over all methods compared.", optional=True),
        _PROTOCOL,
    ),
    "predictions": (
        _RUN,
        _METHOD,
        Column("image_id", "VARCHAR", "The image, as its data set names it."),
        Column("label", "BIGINT", "True class id; null when the image has no label.", optional=True),
        Column("label_name", "VARCHAR", "Name of the true class.", optional=True),
        Column("predicted", "BIGINT", "Predicted class id."),
        Column("predicted_name", "VARCHAR", "Name of the predicted class."),
        Column("probability", "DOUBLE", "Softmax probability of the predicted class, 0..1.", optional=True),
        Column("is_correct", "BOOLEAN", "Whether predicted equals label.", optional=True),
        Column("top5", "BIGINT[]", "The best class ids, best first; fewer than five when there are fewer classes."),
        _PROTOCOL,
    ),
    "class_metrics": (
        _RUN,
        _METHOD,
        _CLASS_ID,
        _CLASS_NAME,
        Column("n", "BIGINT", "Images of this class."),
        Column("recall", "DOUBLE", "Share of its images that are predicted as it, 0..1.", optional=True),
        Column("precision", "DOUBLE", "Share of such predictions that are right, 0..1.", optional=True),
        _PROTOCOL,
    ),
    "confusions": (
        _RUN,
        _METHOD,
        _CLASS_ID,
        _CLASS_NAME,
        Column("predicted", "BIGINT", "The other class that images of this class were taken for."),
        Column("predicted_name", "VARCHAR", "Its name."),
        Column("count", "BIGINT", "Images, at least 1."),
        _PROTOCOL,
    ),
    "class_comparisons": (
        _RUN,
        _METHOD,
        _BASELINE,
        _CLASS_ID,
        _CLASS_NAME,
        Column("n", "BIGINT", "Images of this class, at least 1."),
        Column("recall_baseline", "DOUBLE", "Share of them that the baseline finds, 0..1."),
        Column("recall", "DOUBLE", "Share that the method finds, 0..1."),
        Column("gained", "BIGINT", "Images that only the method finds."),
        Column("lost", "BIGINT", "Images that only the baseline finds."),
        _P_VALUE,
        Column("p_holm", "DOUBLE", "The same after Holm's correction over the classes."),
        _PROTOCOL,
    ),
    "confusion_comparisons": (
        _RUN,
        _METHOD,
        _BASELINE,
        _CLASS_ID,
        _CLASS_NAME,
        Column(
            "predicted",
            "BIGINT",
            "The class that images of this class are taken for. A method has 10,000 pairs here at most, the most "
            "frequent ones in both methods together.",
        ),
        Column("predicted_name", "VARCHAR", "Its name."),
        Column("n_baseline", "BIGINT", "Images that the baseline so mistakes."),
        Column("n", "BIGINT", "Images that the method so mistakes."),
        Column("resolved", "BIGINT", "Images so mistaken by the baseline only; a third class may be wrong, too."),
        Column("introduced", "BIGINT", "Images so mistaken by the method only."),
        _P_VALUE,
        Column("p_holm", "DOUBLE", "The same after Holm's correction over all pairs, also those that were cut."),
        _PROTOCOL,
    ),
    "texts": (
        _RUN,
        Column("text_id", "BIGINT", "Position in the text bank, from 0."),
        _CLASS_ID,
        _CLASS_NAME,
        Column(
            "kind", "VARCHAR", "`class_name`, `attribute`, `analogous_class`, `synonym`, `one_to_one` or `template`."
        ),
        Column("rival_name", "VARCHAR", "For one-to-one texts: the class it is told apart from.", optional=True),
        Column("text", "VARCHAR", "The sentence that was embedded."),
        Column("phrase", "VARCHAR", "The attribute, analogue, synonym or difference inside it.", optional=True),
        Column("source", "VARCHAR", "Who wrote the phrase: a file, a model, WordNet, or a template."),
    ),
    "timings": (
        _RUN,
        Column("step", "VARCHAR", "The step of the main path."),
        Column("seconds", "DOUBLE", "Time spent in this run; work of several tasks added up."),
        Column("rows", "BIGINT", "Rows of what the step produced."),
        Column("computed", "BIGINT", "Rows among them computed in this run; the others were in the store."),
    ),
    "artifacts": (
        _RUN,
        Column("step", "VARCHAR", "The step that made or found it."),
        Column("kind", "VARCHAR", "What it is: the first folder under `artifacts` in the store."),
        Column("key", "VARCHAR", "sha256 of what it was made from: the folder below."),
        Column("rows", "BIGINT", "Its rows."),
    ),
    "reranks": (
        _RUN,
        Column("threshold", "DOUBLE", "Images whose two best probabilities are closer than this are looked at again."),
        Column("threshold_source", "VARCHAR", "`constant` (from the config), or `validation` (chosen there)."),
        Column("candidates", "BIGINT", "Best classes that compete."),
        Column("images", "BIGINT", "Images classified."),
        Column("gated", "BIGINT", "Those looked at again."),
        Column("changed", "BIGINT", "Gated images whose best class is another one now."),
        Column("pairs_wanted", "BIGINT", "Comparisons that gated images ask for: ten each with five candidates."),
        Column("pairs_missing", "BIGINT", "Comparisons without any text; they count 0."),
        Column("pairs_one_sided", "BIGINT", "Comparisons with texts in one direction only; they count 0."),
        Column("images_incomplete", "BIGINT", "Gated images with at least one missing or one-sided comparison."),
        Column("protocol", "VARCHAR", "`honest`, or `reference`: labels chose which images were looked at."),
    ),
    "threshold_search": (
        _RUN,
        Column("threshold", "DOUBLE", "A threshold of the gate that was tried on the validation images."),
        Column("images_gated", "BIGINT", "Validation images that it gates."),
        Column("top1", "DOUBLE", "Top-1 accuracy on them with it, 0..1."),
    ),
    "confused_pairs": (
        _RUN,
        Column("rank", "BIGINT", "Place of the pair, most frequent first, from 0."),
        _CLASS_ID,
        _CLASS_NAME,
        Column("rival_id", "BIGINT", "The other class of the pair; the higher id."),
        Column("rival_name", "VARCHAR", "Its name."),
        Column("images", "BIGINT", "Gated images that have both among their candidates."),
        Column("texts", "BIGINT", "Texts that tell the class from the rival."),
        Column("rival_texts", "BIGINT", "Texts that tell the rival from the class."),
    ),
    "pair_budget": (
        _RUN,
        Column("pairs", "BIGINT", "Pairs bought, the most frequent ones; every row includes those before it."),
        Column("uses", "BIGINT", "Comparisons of gated images that they settle."),
        Column("share_of_uses", "DOUBLE", "The same as a share of all comparisons, 0..1."),
        Column("images_touched", "BIGINT", "Gated images with at least one of their pairs bought."),
        Column("images_complete", "BIGINT", "Gated images with all of their pairs bought."),
        Column("images_gated", "BIGINT", "Gated images in all."),
    ),
    "few_shot": (
        _RUN,
        Column("method", "VARCHAR", "The few-shot method, e.g. `tip_adapter`, `text_discriminant`."),
        Column("shots", "BIGINT", "Support images per class."),
        Column("seed", "BIGINT", "The draw."),
        Column("n", "BIGINT", "Test images."),
        Column("top1", "DOUBLE", "Top-1 accuracy, 0..1."),
        Column("ci_low", "DOUBLE", "Lower end of its 95 % Wilson interval, over images."),
        Column("ci_high", "DOUBLE", "Upper end."),
        Column("mean_per_class_accuracy", "DOUBLE", "Over the classes that have images, 0..1."),
        Column("settings", "VARCHAR", "What was chosen, as JSON."),
        Column("chosen_on", "VARCHAR", "`validation`, `leave_one_out` (on the support) or `default`: nothing chosen."),
        Column("chosen_n", "BIGINT", "Images it was chosen on."),
        Column("chosen_accuracy", "DOUBLE", "Top-1 accuracy on them, 0..1.", optional=True),
        Column("settings_tried", "BIGINT", "Settings compared."),
        Column("pool_images_dropped", "BIGINT", "Pool images left out because they are test images as well."),
    ),
    "few_shot_summary": (
        _RUN,
        Column("method", "VARCHAR", "The few-shot method."),
        Column("shots", "BIGINT", "Support images per class."),
        Column("draws", "BIGINT", "Draws."),
        Column("top1", "DOUBLE", "Mean top-1 accuracy over them, 0..1."),
        Column("top1_std", "DOUBLE", "Standard deviation over them (n - 1); null for one.", optional=True),
    ),
    "ablation": (
        _RUN,
        Column("kinds", "VARCHAR", "Kinds of text that count, joined by `+`; with `one_to_one`, reranked."),
        Column("texts_per_class", "BIGINT", "At most so many descriptive texts per class; null is all.", optional=True),
        Column("draw", "BIGINT", "Which random subset; in the same draw more texts contain fewer."),
        Column("mean_texts", "DOUBLE", "Descriptive texts per class that there really were, on average."),
        Column("n", "BIGINT", "Images."),
        Column("top1", "DOUBLE", "Top-1 accuracy, 0..1."),
        Column("ci_low", "DOUBLE", "Lower end of its 95 % Wilson interval, over images."),
        Column("ci_high", "DOUBLE", "Upper end."),
        Column("top5", "DOUBLE", "Top-5 accuracy, 0..1."),
        Column("mean_per_class_accuracy", "DOUBLE", "Over the classes that have images, 0..1."),
    ),
    "quarantine": (
        _RUN,
        Column("image_id", "VARCHAR", "An image that could not be read and was left out."),
        Column("problem", "VARCHAR", "What is wrong with it."),
    ),
}


def table_columns(table: str) -> tuple[Column, ...]:
    """Return the columns of a result table.

    Raises:
        StoreError: When there is no such table.
    """
    if table not in TABLES:
        raise StoreError(f"There is no result table {table!r}.", remedy=f"The tables are: {', '.join(TABLES)}.")
    return TABLES[table]
