"""What is said about the classes."""

from typing import Literal

from pydantic import Field

from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.spec_base import InputPath, Spec


class TextsSpec(Spec):
    """Which texts describe the classes."""

    bank: InputPath | None = Field(default=None, description="Text-bank file; default: class names only.")
    generator: GeneratorSpec | None = Field(default=None, description="A language model that writes texts.")
    pairs: Literal["none", "all", "confused"] = Field(
        default="none",
        description="Pairs of classes that one_to_one questions are asked about; `confused` asks, after stage 1, about "
        "those that uncertain images really stand between (`rerank.pair_budget`).",
    )
    wordnet: str | None = Field(
        default=None, min_length=1, description="Take synonyms from this installed lexicon of `wn`, e.g. oewn:2024."
    )
    edits: InputPath | None = Field(default=None, description="A person's additions and deletions; they always win.")
    domain: str = Field(default="general", description="Whose sentences the phrases are dressed in.")
    domains: dict[str, dict[str, str | tuple[str, ...]]] = Field(
        default_factory=dict, description="Your own domains or sentences, merged over the shipped ones."
    )
