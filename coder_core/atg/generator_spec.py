"""What a language model is asked for: hashed."""

from typing import Any

from pydantic import Field

from coder_core.atg.prompts import DEFAULT_PROMPTS, GENERATED_KINDS
from coder_core.llm.chat_requests import Sampling
from coder_core.spec_base import Spec
from coder_core.texts.kinds import TextKind

__all__ = ["GeneratorSpec"]


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
