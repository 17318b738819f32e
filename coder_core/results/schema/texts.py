"""The texts behind a run, what writing them cost, and what the second round (the rerank) looked at."""

from dataclasses import dataclass
from typing import Annotated

from coder_core.results.schema.declaring import result_table
from coder_core.results.schema.measures import ClassId, ClassName


@result_table("texts")
@dataclass(frozen=True, kw_only=True)
class TextRow:
    """One row per text of the text bank."""

    text_id: Annotated[int, "Position in the text bank, from 0."]
    class_id: ClassId
    class_name: ClassName
    kind: Annotated[str, "`class_name`, `attribute`, `analogous_class`, `synonym`, `one_to_one` or `template`."]
    rival_name: Annotated[str | None, "For one-to-one texts: the class it is told apart from."] = None
    text: Annotated[str, "The sentence that was embedded."]
    phrase: Annotated[str | None, "The attribute, analogue, synonym or difference inside it."] = None
    source: Annotated[str, "Who wrote the phrase: a file, a model, WordNet, or a template."]


@result_table("generation")
@dataclass(frozen=True, kw_only=True)
class GenerationRow:
    """One row per kind of text that a language model was asked for: what it gave, and what that cost."""

    kind: Annotated[str, "Kind of text: `attribute`, `analogous_class`, `synonym` or `one_to_one`."]
    asked: Annotated[int, "Questions that the run needed an answer to: generated, reused and failed together."]
    generated: Annotated[int, "Those that a model answered in this run."]
    reused: Annotated[int, "Those whose answer was in the ledger already."]
    failed: Annotated[int, "Those without a usable answer."]
    prompt_tokens: Annotated[int | None, "Tokens of the questions asked in this run, where the server counts."] = None
    completion_tokens: Annotated[int | None, "Tokens of their answers."] = None
    cost_usd: Annotated[float | None, "Price of both, in US dollars; null where the model's price is unknown."] = None


@result_table("reranks")
@dataclass(frozen=True, kw_only=True)
class RerankRow:
    """One row per run with a second round: which images it looked at again, and with what texts."""

    threshold: Annotated[float, "Images whose two best probabilities are closer than this are looked at again."]
    threshold_source: Annotated[str, "`constant` (from the config), or `validation` (chosen there)."]
    candidates: Annotated[int, "Best classes that compete."]
    images: Annotated[int, "Images classified."]
    gated: Annotated[int, "Those looked at again."]
    changed: Annotated[int, "Gated images whose best class is another one now."]
    pairs_wanted: Annotated[int, "Comparisons that gated images ask for: ten each with five candidates."]
    pairs_missing: Annotated[int, "Comparisons without any text; they count 0."]
    pairs_one_sided: Annotated[int, "Comparisons with texts in one direction only; they count 0."]
    images_incomplete: Annotated[int, "Gated images with at least one missing or one-sided comparison."]
    protocol: Annotated[str, "`honest`, or `reference`: labels chose which images were looked at."]


@result_table("threshold_search")
@dataclass(frozen=True, kw_only=True)
class ThresholdRow:
    """One row per threshold of the gate that was tried."""

    threshold: Annotated[float, "A threshold of the gate that was tried on the validation images."]
    images_gated: Annotated[int, "Validation images that it gates."]
    top1: Annotated[float, "Top-1 accuracy on them with it, 0..1."]


@result_table("confused_pairs")
@dataclass(frozen=True, kw_only=True)
class ConfusedPairRow:
    """One row per pair of classes that compete for a gated image."""

    rank: Annotated[int, "Place of the pair, most frequent first, from 0."]
    class_id: ClassId
    class_name: ClassName
    rival_id: Annotated[int, "The other class of the pair; the higher id."]
    rival_name: Annotated[str, "Its name."]
    images: Annotated[int, "Gated images that have both among their candidates."]
    texts: Annotated[int, "Texts that tell the class from the rival."]
    rival_texts: Annotated[int, "Texts that tell the rival from the class."]


@result_table("pair_budget")
@dataclass(frozen=True, kw_only=True)
class PairBudgetRow:
    """One row per budget: what buying the texts of that many pairs would settle."""

    pairs: Annotated[int, "Pairs bought, the most frequent ones; every row includes those before it."]
    uses: Annotated[int, "Comparisons of gated images that they settle."]
    share_of_uses: Annotated[float, "The same as a share of all comparisons, 0..1."]
    images_touched: Annotated[int, "Gated images with at least one of their pairs bought."]
    images_complete: Annotated[int, "Gated images with all of their pairs bought."]
    images_gated: Annotated[int, "Gated images in all."]
