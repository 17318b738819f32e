"""What a language model is asked for: hashed."""

from typing import Any

from pydantic import Field, model_validator

from coder_core.atg.prompts import DEFAULT_PROMPTS, GENERATED_KINDS, PICTURED_KINDS
from coder_core.fingerprint import Json, plain_json
from coder_core.llm.chat_requests import Sampling
from coder_core.spec_base import Spec
from coder_core.texts.kinds import TextKind

__all__ = ["GeneratorSpec"]

MOST_IMAGES = 8
"""A question about a pair shows twice as many: sixteen pictures of `images.shown_images.MAX_JPEG_BYTES` are 2.8 MB as
base64, far below what servers take (OpenAI: 50 MB a request)."""
_LATER_FIELDS = ("images_per_class", "texts_per_class")


class GeneratorSpec(Spec):
    """What a language model is asked for."""

    model: str = Field(min_length=1, max_length=200, description="The model's name as the server knows it.")
    kinds: tuple[TextKind, ...] = Field(
        default=(TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS),
        description=f"Of {', '.join(GENERATED_KINDS)}; one_to_one needs pairs.",
    )
    sampling: Sampling = Field(default=Sampling(), description="temperature, top_p, seed.")
    prompts: str = Field(default=DEFAULT_PROMPTS, description="Name of the prompt set.")
    prompt_sets: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Your own prompt sets or questions, merged over the shipped ones."
    )
    max_similarity: float = Field(
        default=0.9, gt=0, le=1, description="Drop an analogue whose cosine to another class exceeds this."
    )
    analogue_rounds: int = Field(default=5, ge=0, le=20, description="How often to ask again for dropped analogues.")
    images_per_class: int = Field(
        default=0,
        ge=0,
        le=MOST_IMAGES,
        strict=True,
        description="Show a model that reads images so many labelled images of each class, of `few_shot.pool`, with "
        f"the questions of the kinds {' and '.join(PICTURED_KINDS)}. Methods that read such texts have read labels, "
        "and say so.",
    )
    texts_per_class: int | None = Field(
        default=None,
        ge=1,
        le=100,
        strict=True,
        description="Of each kind, and of each class or side of a pair, keep so many texts, those that the model named "
        "first: to compare two generators under one budget. Default: all.",
    )

    @model_validator(mode="after")
    def _pictures_are_shown(self) -> "GeneratorSpec":
        if self.images_per_class and not set(PICTURED_KINDS) & set(self.kinds):
            known = " and ".join(PICTURED_KINDS)
            raise ValueError(
                f"images_per_class: pictures are shown with the kinds {known}: ask for one of them, or for 0"
            )
        return self

    def identity(self) -> Json:
        """All fields; those that came later count where they are set, so that keys from before them hold."""
        later = {name for name in _LATER_FIELDS if getattr(self, name) == type(self).model_fields[name].default}
        return {name: plain_json(getattr(self, name), name) for name in type(self).model_fields if name not in later}
