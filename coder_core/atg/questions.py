"""Which questions a class list needs, before anything is asked or spent. Pure.

A question is tied to label ids, a request to names: two classes called "crane" are two questions and one request, and a
pair of classes is one request for its two directions.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

from coder_core.atg.answer_formats import answer_schema
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.names import NameSet, is_same_name
from coder_core.atg.parsing import NO_OTHERS, Phrases, Subject, parse_answer
from coder_core.atg.prompts import PICTURED_KINDS, Prompt, PromptSet, find_prompts, load_prompts
from coder_core.classes import ClassList, display_name, normalise_name
from coder_core.errors import ConfigError
from coder_core.fingerprint import canonical_json
from coder_core.llm.chat_requests import CompletionRequest, Message, Picture, RequestRecord, Sampling
from coder_core.llm.faults import Fault, Problem
from coder_core.spec_base import Spec
from coder_core.texts.bank import ClassPair
from coder_core.texts.kinds import TextKind

__all__ = [
    "Inputs",
    "Pictures",
    "Plan",
    "Question",
    "TextRequest",
    "ask_about",
    "ask_about_pair",
    "ask_again",
    "chunk_class_ids",
    "plan_questions",
]


Pictures = Mapping[int, Sequence[Picture]]
"""Class id -> what is shown of it, in order."""


class Inputs(Spec):
    """What a prompt is filled with: names as they stand in sentences, and the content keys of pictures of either."""

    class_name: str
    rival_name: str | None = None
    excluded: tuple[str, ...] = ()
    count: int | None = None
    images: tuple[str, ...] = ()
    rival_images: tuple[str, ...] = ()

    def values(self) -> dict[str, str]:
        """Values for the prompt's placeholders."""
        values = {"class": self.class_name, "rival": self.rival_name or "", "shown": str(len(self.images))}
        if self.excluded:
            values |= {"excluded": ", ".join(self.excluded), "count": str(self.count or 1)}
        return values


@dataclass(frozen=True)
class TextRequest(CompletionRequest):
    """One question about a class, or about a pair of classes, to one model.

    Args:
        model: The model's name as the server knows it.
        prompt: The question's words.
        sampling: How the model chooses its words.
        inputs: The names.
        others: Names of the class list, to notice answers about another class; they are no part of the key.
        pictures: What is shown with it; `inputs` has the content keys.
    """

    model: str
    prompt: Prompt
    sampling: Sampling
    inputs: Inputs
    others: NameSet = field(default=NO_OTHERS, compare=False)
    pictures: tuple[Picture, ...] = field(default=(), compare=False, repr=False)

    @property
    def kind(self) -> TextKind:
        """The kind of text that is asked for."""
        return self.prompt.kind

    @cached_property
    def subject(self) -> Subject:
        """What the answer must be about."""
        names = [self.inputs.class_name, self.inputs.rival_name]
        return Subject(self.kind, tuple(name for name in names if name is not None))

    @cached_property
    def record(self) -> RequestRecord:
        """What decides the answer."""
        inputs = canonical_json(self.inputs.model_dump(exclude_defaults=True))
        sampling = canonical_json(self.sampling.parameters())
        return RequestRecord(self.model, self.kind.value, self.prompt.version, sampling, inputs)

    def messages(self, *, is_structured: bool) -> list[Message]:
        """The conversation up to the answer."""
        return self.prompt.messages(self.inputs.values(), is_structured=is_structured, pictures=self.pictures)

    def schema(self) -> dict[str, Any]:
        """The `response_format` of a structured answer."""
        return answer_schema(len(self.subject.names))

    def read(self, answer: str, *, is_held: bool = False) -> Phrases | Problem:
        """Read the phrases of an answer; one that was accepted once may speak of other classes of this list."""
        return _read_held(answer, self.subject) if is_held else parse_answer(answer, self.subject, others=self.others)


@lru_cache(maxsize=1 << 14)
def _read_held(answer: str, subject: Subject) -> Phrases | Problem:
    """A run looks at every held answer three times: for the price, for what is missing, and for the bank."""
    return parse_answer(answer, subject)


def ask_about(
    name: str,
    prompt: Prompt,
    *,
    model: str,
    sampling: Sampling,
    others: NameSet = NO_OTHERS,
    pictures: Sequence[Picture] = (),
) -> TextRequest:
    """Make the request for the texts of one class."""
    inputs = Inputs(class_name=_sentence_name(name), images=_content_keys(pictures))
    return TextRequest(model, prompt, sampling, inputs, others, tuple(pictures))


def ask_about_pair(
    name: str,
    rival: str,
    prompt: Prompt,
    *,
    model: str,
    sampling: Sampling,
    others: NameSet = NO_OTHERS,
    pictures: tuple[Sequence[Picture], Sequence[Picture]] = ((), ()),
) -> TextRequest:
    """Make the one request that answers both directions of a pair: whichever comes first, the key is the same."""
    sides = zip((_sentence_name(name), _sentence_name(rival)), pictures, strict=True)
    (first, own), (second, others_own) = sorted(sides, key=lambda side: side[0])
    inputs = Inputs(
        class_name=first, rival_name=second, images=_content_keys(own), rival_images=_content_keys(others_own)
    )
    return TextRequest(model, prompt, sampling, inputs, others, (*own, *others_own))


def ask_again(request: TextRequest, excluded: Sequence[str], count: int) -> TextRequest:
    """Make the request for further answers, none of them among those that were named before."""
    inputs = Inputs(class_name=request.inputs.class_name, excluded=tuple(sorted(map(str, excluded))), count=count)
    return TextRequest(request.model, request.prompt, request.sampling, inputs, request.others)


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
    request: TextRequest

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
    def requests(self) -> list[TextRequest]:
        """The requests behind the questions, each once."""
        return list({question.request.key: question.request for question in self.questions}.values())


def plan_questions(
    classes: ClassList,
    spec: GeneratorSpec,
    *,
    class_ids: Sequence[int] | None = None,
    pairs: Sequence[ClassPair] = (),
    noun: str = "",
    pictures: Pictures | None = None,
) -> Plan:
    """List what must be known to make the texts of some classes.

    Args:
        classes: The whole class list.
        spec: What is asked for; the kind `one_to_one` is asked for the pairs, the others for each class.
        class_ids: Which classes; None for all.
        pairs: Pairs of classes to tell apart, in either order.
        noun: What the photos show (`prompts.domain_noun`); empty where they show anything.
        pictures: What is shown of classes with the kinds that pictures help with; a class without any, and a pair of
            which one class has none, is asked about without.

    Raises:
        ConfigError: The prompt set or a kind is unknown, or an id is not one of the list.
    """
    prompts = find_prompts(spec.prompts, load_prompts(spec.prompt_sets))
    chosen = range(len(classes)) if class_ids is None else sorted(set(class_ids))
    _check_ids(classes, [*chosen, *(class_id for pair in pairs for class_id in pair)])
    asking = _Asking(classes, spec, prompts, noun, pictures or {})
    single = [
        asking.about(kind, class_id)
        for kind in dict.fromkeys(spec.kinds)
        if kind is not TextKind.ONE_TO_ONE
        for class_id in chosen
    ]
    if TextKind.ONE_TO_ONE not in spec.kinds:
        return Plan(tuple(single))
    unordered = sorted({(min(pair), max(pair)) for pair in pairs})
    unaskable = tuple((pair, _SAME_NAME) for pair in unordered if _has_one_name(pair, classes))
    askable = [pair for pair in unordered if not _has_one_name(pair, classes)]
    return Plan((*single, *map(asking.about_pair, askable)), unaskable)


def chunk_class_ids(classes: ClassList, *, size: int) -> tuple[tuple[int, ...], ...]:
    """Cut a class list into chunks for tasks of their own; classes of one name stay together and are asked about once.

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


class _Asking:
    """Makes the questions of one class list, each prompt once."""

    def __init__(
        self, classes: ClassList, spec: GeneratorSpec, prompts: PromptSet, noun: str, pictures: Pictures
    ) -> None:
        self._classes, self._pictures = classes, pictures
        self._prompt: Callable[..., Prompt] = lru_cache(maxsize=None)(partial(prompts.prompt, noun=noun))
        others = NameSet(classes.display_names)
        self._options: dict[str, Any] = {"model": spec.model, "sampling": spec.sampling, "others": others}

    def about(self, kind: TextKind, class_id: int) -> Question:
        """The question of one kind about a class."""
        shown = self._pictures.get(class_id, ()) if kind in PICTURED_KINDS else ()
        prompt = self._prompt(kind, is_pictured=bool(shown))
        request = ask_about(self._classes.names[class_id], prompt, pictures=shown, **self._options)
        return Question(kind, class_id, None, request)

    def about_pair(self, pair: ClassPair) -> Question:
        """The question about a pair; one class in pictures and the other one not would be no fair comparison."""
        first, second = sorted(pair, key=lambda class_id: self._classes.display_names[class_id])
        own, others = (tuple(self._pictures.get(class_id, ())) for class_id in (first, second))
        shown = (own, others) if own and others else ((), ())
        prompt = self._prompt(TextKind.ONE_TO_ONE, is_pictured=bool(own and others))
        name, rival = self._classes.names[first], self._classes.names[second]
        return Question(
            TextKind.ONE_TO_ONE, first, second, ask_about_pair(name, rival, prompt, pictures=shown, **self._options)
        )


def _content_keys(pictures: Sequence[Picture]) -> tuple[str, ...]:
    return tuple(picture.content_key for picture in pictures)


def _has_one_name(pair: ClassPair, classes: ClassList) -> bool:
    first, second = (classes.names[class_id] for class_id in pair)
    return pair[0] == pair[1] or normalise_name(first) == normalise_name(second) or is_same_name(first, second)


def _check_ids(classes: ClassList, class_ids: Sequence[int]) -> None:
    for class_id in class_ids:
        if not 0 <= class_id < len(classes):
            raise ConfigError(
                f"the class id {class_id} is not one of 0..{len(classes) - 1}.", "class ids", "Use ids of the list."
            )


def _sentence_name(name: str) -> str:
    """A class name as it stands in a question; file names bring signs that have no UTF-8 form."""
    return display_name(name.encode("utf-8", "replace").decode("utf-8"))
