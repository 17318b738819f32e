"""The constants of the batch discriminant."""

from typing import NamedTuple


class BatchSettings(NamedTuple):
    """The method's constants: one setting for all data sets and all kinds of batch (docs/transduction.md).

    Args:
        text_images: tau: for how many images the texts of a class count in its mean.
        shrinkage: s: the identity's share in the covariance.
        map_ridge: How strongly the map of texts to images is pulled towards a stretch, where all classes are there.
        weight: t: of the discriminant beside stage 1; below 1, because both look at the same image.
        prior_weight: pi, where all classes are there; 1, Bayes's rule, where few are.
        claim_weight: kappa, where all classes are there; else 0.
        concentration: alpha: images of every class that are taken for seen, where all classes are there.
        sparse_concentration: The same where few are.
        rounds: Of expectation maximisation.
    """

    text_images: float = 2.0
    shrinkage: float = 0.6
    map_ridge: float = 1.0
    weight: float = 0.25
    prior_weight: float = 0.5
    claim_weight: float = 0.5
    concentration: float = 1.0
    sparse_concentration: float = 0.05
    rounds: int = 8


DEFAULTS = BatchSettings()
