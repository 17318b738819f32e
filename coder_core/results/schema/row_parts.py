"""Columns that stand side by side in more than one table.

A row class lists such parts from right to left: Python puts the fields of the last base first, then those of the bases
before it, then the class's own. That is the order of the columns.
"""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Images whose predicted class has a probability in one bin, and how many of them are right."""

    bin: Annotated[int, "From 0; 15 bins of equal width on 0..1."]
    low: Annotated[float, "Lower end of the bin."]
    high: Annotated[float, "Upper end, which is in it."]
    n: Annotated[int, "Images whose predicted class has such a probability."]
    confidence: Annotated[float, "Their mean probability of the predicted class."]
    accuracy: Annotated[float, "Share of them that are right."]
    ci_low: Annotated[float, "Lower end of its 95 % Wilson interval, over images."]
    ci_high: Annotated[float, "Upper end."]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said of an image, and what is true."""

    image_id: Annotated[str, "The image, as its data set names it."]
    label: Annotated[int | None, "True class id; null when the image has no label."] = None
    label_name: Annotated[str | None, "Name of the true class."] = None
    predicted: Annotated[int, "Predicted class id."]
    predicted_name: Annotated[str, "Name of the predicted class."]
    probability: Annotated[float | None, "Softmax probability of the predicted class, 0..1."] = None
    is_correct: Annotated[bool | None, "Whether predicted equals label."] = None
