"""True probabilities of few-shot methods: scores of any scale, brought to one by validation images.

Scores are cosines, counts of cache hits, or nats, so their softmax says little: a nearest mean is unsure of everything.
Where a draw has validation images, the temperature that makes their labels most likely is chosen on them, as the
method's settings are. It changes no decision.
"""

from coder_core.classifiers import TemperedClassifier
from coder_core.coder.classifier import Classifier
from coder_core.evaluation.temperature import fit_score_temperature
from coder_core.few_shot.examples import Validation

__all__ = ["calibrate_scores"]


def calibrate_scores(classifier: Classifier, validation: Validation) -> TemperedClassifier:
    """Put the temperature around a classifier that suits validation images best.

    Args:
        classifier: Of any kind; fitted on other images.
        validation: Images that its settings may have been chosen on, too.
    """
    scores = classifier.logits(validation.embeddings)
    return TemperedClassifier(classifier, fit_score_temperature(scores, validation.label_ids))
