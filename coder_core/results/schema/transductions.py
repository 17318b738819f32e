"""What a batch of unlabelled images was taken for."""

from dataclasses import dataclass
from typing import Annotated

from coder_core.results.schema.declaring import result_table


@result_table("transductions")
@dataclass(frozen=True, kw_only=True)
class TransductionRow:
    """One row per method (and draw) that reads all images under test at once: what it took them for, and why."""

    method: Annotated[str, "The method, `<transduction>_on_<stage 1>`."]
    stage1: Annotated[str, "The method that it stands upon."]
    shots: Annotated[int | None, "Support images per class, where it stands upon a few-shot method."] = None
    seed: Annotated[int | None, "The draw, likewise."] = None
    batch: Annotated[
        str,
        "`balanced`, `all_classes`, `few_classes`; `nothing` where stage 1 came back unchanged; `stated` where the "
        "method asks nothing.",
    ]
    reason: Annotated[str, "Why, with the numbers."]
    images: Annotated[int, "Images that it learnt from."]
    unusable: Annotated[int, "Images left out, because their vectors hold numbers that are not finite."]
    classes_off: Annotated[int, "Classes that no image claims: less than half of one, all shares added up."]
    effective_classes: Annotated[float, "exp of the entropy of the classes' shares of the images."]
    prior_evidence: Annotated[
        float, "Nats per image left out by which an estimated class prior explains stage 1 better than equal shares."
    ]
    image_evidence: Annotated[
        float, "Nats per image left out by which images say better where classes lie than texts alone."
    ]
    temperature: Annotated[float, "That its logits were divided by."]
