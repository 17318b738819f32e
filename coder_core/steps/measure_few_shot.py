"""What the few-shot methods of a draw are worth, and whether their probabilities are true. Reads test labels."""

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.input_contract import InputContract
from coder_core.pipeline.artifact_types import (
    FewShotFitsArtifact,
    FewShotPredictionsArtifact,
    ImageEmbeddingsArtifact,
    LabelsArtifact,
    MeasurementArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.results.schema import FewShotReliabilityRow, FewShotRow
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.image_groups import ImageGroups
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.measure_method import write_rows
from coder_core.steps.predict_few_shot import read_few_shot_predictions
from coder_core.steps.score_again import kept_log_shares, log_shares, read_again

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float64, Int64

    from coder_core.evaluation.intervals import Interval
    from coder_core.evaluation.predictions import Predictions
    from coder_core.evaluation.spread import Groups


class MeasureFewShot(ArtifactStep[MeasurementArtifact]):
    """Measure the few-shot methods of one draw: accuracy, and calibration before and after.

    Raises:
        DatasetError: An image has no label, or no group.
    """

    fits: FewShotFitsArtifact
    predictions: FewShotPredictionsArtifact
    contracts: dict[str, InputContract]
    groups: ImageGroups | None
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder
    labels: LabelsArtifact

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"measure_few_shot_{self.fits.shots}"

    def make(self, context: Context, output: Output) -> MeasurementArtifact:
        """Measure every method."""
        labels, methods = read_labels(context, self.labels, "test"), self.predictions.methods
        rows, bins = [], []
        for method in context.each(methods, "measuring", total=len(methods), unit="methods"):
            predictions, uncalibrated = read_few_shot_predictions(context, self.predictions, method)
            plain = replace(predictions, top_probabilities=uncalibrated)
            said = _Said(predictions, plain, labels.align(predictions))
            groups = self.groups.numbers(predictions.image_ids) if self.groups is not None else None
            rows.append(self._row(context, said, groups))
            bins += self._bins(said)
        return write_rows(context, output, {FewShotRow: rows, FewShotReliabilityRow: bins})

    def _row(self, context: Context, said: "_Said", groups: "Groups | None") -> FewShotRow:
        from coder_core.evaluation.metrics import interval_of_hits, mean_per_class_accuracy

        fits, predictions, hits = self.fits, said.predictions, said.is_correct
        interval, choice = interval_of_hits(hits, groups), fits.choices[predictions.method]
        losses, losses_uncalibrated = (-found for found in self._log_likelihoods(context, said))
        return FewShotRow(
            method=predictions.method,
            shots=fits.shots,
            seed=fits.seed,
            n=len(hits),
            top1=float(hits.mean()),
            ci_low=interval.low,
            ci_high=interval.high,
            mean_per_class_accuracy=mean_per_class_accuracy(predictions.top_ids[:, :1], said.label_ids),
            settings=json.dumps(choice.settings),
            chosen_on=choice.source,
            chosen_n=choice.n,
            chosen_accuracy=choice.accuracy,
            settings_tried=choice.tried,
            pool_images_dropped=fits.dropped,
            **self._contract_of(predictions.method),
            groups=None if groups is None else int(groups.max()) + 1,
            calibrated_on=choice.calibrated_on,
            temperature=choice.temperature,
            **_calibration_columns(said, groups),
            negative_log_likelihood=float(losses.mean()),
            negative_log_likelihood_uncalibrated=float(losses_uncalibrated.mean()),
        )

    def _contract_of(self, method: str) -> dict[str, Any]:
        """What a method has read: where validation images chose anything, their labels; or the batch, too."""
        return dict(self.fits.choices[method].reads(self.contracts[method]).columns())

    def _bins(self, said: "_Said") -> list[FewShotReliabilityRow]:
        from coder_core.evaluation.calibration import reliability_bins

        fits, method = self.fits, said.predictions.method
        both = {False: said.uncalibrated, True: said.predictions}
        if not fits.choices[method].is_calibrated:
            del both[True]
        return [
            FewShotReliabilityRow(
                method=method, shots=fits.shots, seed=fits.seed, is_calibrated=is_calibrated, **asdict(found)
            )
            for is_calibrated, predictions in both.items()
            for found in reliability_bins(predictions.top_probabilities[:, 0], said.is_correct)
        ]

    def _log_likelihoods(
        self, context: Context, said: "_Said"
    ) -> "tuple[Float64[np.ndarray, ' images'], Float64[np.ndarray, ' images']]":
        """Of every image, exact, with the temperature and without; images whose class was not kept are scored again."""
        import numpy as np

        from coder_core.classifiers import TemperedClassifier

        both = [
            kept_log_shares(said.label_ids, one.top_ids, one.top_probabilities)
            for one in (said.predictions, said.uncalibrated)
        ]
        is_missing = np.isnan(both[0])
        if is_missing.any():
            found, temperature = read_classifier(context, self.fits, said.predictions.method), 1.0
            if isinstance(found, TemperedClassifier):
                temperature, found = found.temperature, found.inner
            images = (self.predictions, self.images, self.encoder)
            for rows, vectors in read_again(context, *images, said.predictions.image_ids, is_missing):
                scores, own = found.logits(vectors), said.label_ids[rows]
                both[0][rows], both[1][rows] = log_shares(scores / temperature, own), log_shares(scores, own)
        return both[0], both[1]


class _Said(NamedTuple):
    """What a method said, with its temperature and without, and what is true."""

    predictions: "Predictions"
    uncalibrated: "Predictions"
    label_ids: "Int64[np.ndarray, ' images']"

    @property
    def is_correct(self) -> "Bool[np.ndarray, ' images']":
        """The best class of every image against the true one."""
        hits: Bool[np.ndarray, " images"] = self.predictions.top_ids[:, 0] == self.label_ids
        return hits


def _calibration_columns(said: _Said, groups: "Groups | None") -> dict[str, Any]:
    from coder_core.evaluation.calibration import (
        calibration_error_by_chance,
        calibration_interval,
        expected_calibration_error,
    )

    hits, confidences = said.is_correct, said.predictions.top_probabilities[:, 0]
    interval: Interval | None = calibration_interval(confidences, hits, groups=groups)
    name = "expected_calibration_error"
    return {
        name: expected_calibration_error(confidences, hits),
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
        f"{name}_by_chance": calibration_error_by_chance(confidences),
        f"{name}_uncalibrated": expected_calibration_error(said.uncalibrated.top_probabilities[:, 0], hits),
    }
