"""The plan: which questions a class list needs, before anything is asked or spent.

A question is tied to label ids, a request to names: two classes called "crane" are two questions and one request, and a
pair of classes is one request for its two directions. Pure.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from coder_core.atg.faults import Fault, Problem
from coder_core.atg.names import is_same_name
from coder_core.atg.prompts import PromptSet, find_prompts, load_prompts
from coder_core.atg.requests import CompletionRequest, ask_about, ask_about_pair
from coder_core.atg.settings import GeneratorSpec
from coder_core.classes import ClassList, normalise_name
from coder_core.errors import ConfigError
from coder_core.texts.bank import ClassPair
from coder_core.texts.kinds import TextKind

__all__ = ["Plan", "Question", "chunk_class_ids", "plan_questions"]


class Question(NamedTuple):
    """What is wanted for one class or one pair of classes.

    Args:
        kind: The kind of text.
        class_id: The class.
        rival_id: The other class of a pair; None for a single class.
        request: Who answers it.
    """

    kind: TextKind
    class_id: int
    rival_id: int | None
    request: CompletionRequest

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The classes, in the order in which the request names them."""
        return (self.class_id,) if self.rival_id is None else (self.class_id, self.rival_id)


class Plan(NamedTuple):
    """All questions of a class list.

    Args:
        questions: In the order of kinds, then of classes and pairs.
        unaskable: Pairs that cannot be asked about, and why.
    """

    questions: tuple[Question, ...]
    unaskable: tuple[tuple[ClassPair, Problem], ...] = ()

    @property
    def requests(self) -> list[CompletionRequest]:
        """The requests behind the questions, each once."""
        return list({question.request.key: question.request for question in self.questions}.values())


def plan_questions(
    classes: ClassList,
    spec: GeneratorSpec,
    *,
    class_ids: Sequence[int] | None = None,
    pairs: Sequence[ClassPair] = (),
) -> Plan:
    """List what must be known to make the texts of some classes.

    Args:
        classes: The whole class list.
        spec: What is asked for; the kind `one_to_one` is asked for the pairs, the others for each class.
        class_ids: Which classes; None for all.
        pairs: Pairs of classes to tell apart, in either order.

    Raises:
        ConfigError: The prompt set or a kind is unknown, or an id is not one of the list.
    """
    prompts = find_prompts(spec.prompts, load_prompts(spec.prompt_sets))
    chosen = range(len(classes)) if class_ids is None else sorted(set(class_ids))
    _check_ids(classes, [*chosen, *(class_id for pair in pairs for class_id in pair)])
    kinds = [kind for kind in dict.fromkeys(spec.kinds) if kind is not TextKind.ONE_TO_ONE]
    single = [question for kind in kinds for question in _single_questions(kind, chosen, classes, prompts, spec)]
    if TextKind.ONE_TO_ONE not in spec.kinds:
        return Plan(tuple(single))
    unordered = sorted({(min(pair), max(pair)) for pair in pairs})
    unaskable = tuple((pair, _SAME_NAME) for pair in unordered if _has_one_name(pair, classes))
    askable = [pair for pair in unordered if not _has_one_name(pair, classes)]
    return Plan((*single, *(_pair_question(pair, classes, prompts, spec) for pair in askable)), unaskable)


def chunk_class_ids(classes: ClassList, *, size: int) -> tuple[tuple[int, ...], ...]:
    """Cut a class list into chunks for tasks of their own; classes of one name stay together, so none is bought twice.

    Args:
        classes: The class list.
        size: Names per chunk.
    """
    by_name: dict[str, list[int]] = {}
    for class_id, name in enumerate(classes.display_names):
        by_name.setdefault(name, []).append(class_id)
    groups = list(by_name.values())
    chunks = (groups[start : start + size] for start in range(0, len(groups), size))
    return tuple(tuple(sorted(itertools.chain.from_iterable(chunk))) for chunk in chunks)


_SAME_NAME = Problem(Fault.SAME_NAME, "both classes carry the same name, which no question can tell apart.")


def _single_questions(
    kind: TextKind, class_ids: Sequence[int], classes: ClassList, prompts: PromptSet, spec: GeneratorSpec
) -> list[Question]:
    prompt = prompts.prompt(kind)
    names = classes.names
    return [
        Question(kind, class_id, None, ask_about(names[class_id], prompt, model=spec.model, sampling=spec.sampling))
        for class_id in class_ids
    ]


def _pair_question(pair: ClassPair, classes: ClassList, prompts: PromptSet, spec: GeneratorSpec) -> Question:
    prompt = prompts.prompt(TextKind.ONE_TO_ONE)
    first, second = sorted(pair, key=lambda class_id: classes.display_names[class_id])
    names = (classes.names[first], classes.names[second])
    request = ask_about_pair(*names, prompt, model=spec.model, sampling=spec.sampling)
    return Question(TextKind.ONE_TO_ONE, first, second, request)


def _has_one_name(pair: ClassPair, classes: ClassList) -> bool:
    first, second = (classes.names[class_id] for class_id in pair)
    return pair[0] == pair[1] or normalise_name(first) == normalise_name(second) or is_same_name(first, second)


def _check_ids(classes: ClassList, class_ids: Sequence[int]) -> None:
    for class_id in class_ids:
        if not 0 <= class_id < len(classes):
            raise ConfigError(
                f"the class id {class_id} is not one of 0..{len(classes) - 1}.", "class ids", "Use ids of the list."
            )
