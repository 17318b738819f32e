"""Prompts: the questions to the language model. They are data (`prompts.yaml`), not code, and carry their own version.

A prompt is a question with one worked example, written as a conversation of two turns. Its version is the hash of every
word that the model sees besides the class names, so a completion can never be taken for the answer to another
question. A user's own sets merge over the shipped ones, kind by kind and key by key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from coder_core import packaged
from coder_core.atg.answer_formats import Block, write_json_answer
from coder_core.errors import ConfigError
from coder_core.expected_values import describe_refusal
from coder_core.fingerprint import key_of
from coder_core.llm.chat_requests import RENDITION, Message, Picture
from coder_core.near_names import suggest_name
from coder_core.texts.domains import PLACEHOLDER, fill
from coder_core.texts.kinds import TextKind

__all__ = [
    "DEFAULT_PROMPTS",
    "GENERATED_KINDS",
    "PICTURED_KINDS",
    "Prompt",
    "PromptSet",
    "domain_noun",
    "find_prompts",
    "load_prompts",
]

DEFAULT_PROMPTS = "general"
GENERATED_KINDS = (TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM, TextKind.ONE_TO_ONE)
"""Kinds that a language model can be asked for; the class name needs none."""
PICTURED_KINDS = (TextKind.ATTRIBUTE, TextKind.ONE_TO_ONE)
"""Kinds that pictures of the class help with: what it looks like. What else it is called, and what else there is that
looks alike, nobody can see in them."""

Line = Annotated[str, AfterValidator(lambda text: " ".join(text.split())), Field(min_length=1, max_length=4000)]
_AGAIN = {"class", "count", "excluded"}
_NOUN = "{noun}"
_SHAPE = "See coder_core/atg/prompts.yaml for the shape."
_STRICT = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Example(BaseModel):
    """A worked example: what was asked about and a good answer."""

    model_config = _STRICT

    class_name: Line = Field(alias="class")
    items: tuple[Line, ...] = Field(min_length=1)
    rival: Line | None = None
    rival_items: tuple[Line, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Values for the question's placeholders."""
        return {"class": self.class_name, "rival": self.rival or ""}

    def answer(self, *, is_structured: bool) -> str:
        """Write the answer as JSON or as a list."""
        blocks = [Block(self.class_name, self.items)]
        if self.rival:
            blocks.append(Block(self.rival, self.rival_items))
        if is_structured:
            return write_json_answer(tuple(blocks))
        return "\n\n".join("\n".join([f"{block.header}:", *(f"- {item}" for item in block.items)]) for block in blocks)


class Question(BaseModel):
    """One kind's entry in a prompt set."""

    model_config = _STRICT

    question: Line
    example: Example
    again: Line | None = None
    in_domain: Line | None = None
    again_in_domain: Line | None = None
    pictured: Line | None = None


class PromptSet(BaseModel):
    """The questions of one set, one per kind."""

    model_config = _STRICT

    system: Line
    list_form: Line
    json_form: Line
    attribute: Question
    analogous_class: Question
    synonym: Question
    one_to_one: Question

    def prompt(self, kind: TextKind, *, noun: str = "", is_pictured: bool = False) -> "Prompt":
        """The prompt of a kind.

        Args:
            kind: What is asked for.
            noun: What the photos show, "a texture"; empty where they show anything.
            is_pictured: Whether pictures stand beside the question, which then says what they show.

        Raises:
            ConfigError: The language model is not asked for this kind.
        """
        if kind not in GENERATED_KINDS:
            known = ", ".join(GENERATED_KINDS)
            raise ConfigError(f"no model is asked for the kind {kind.value!r}.", "generator.kinds", f"Kinds: {known}.")
        question: Question = getattr(self, kind.value)
        return Prompt(kind, question, self.system, self.list_form, self.json_form, noun, is_pictured)


@dataclass(frozen=True)
class Prompt:
    """Everything a model gets for one kind, besides the names.

    Args:
        kind: The kind of text.
        question: The question, its worked example and, for re-asking, its other wording.
        system: Who the model should be.
        list_form: How to answer where the server takes no schema.
        json_form: How to answer where it does.
        noun: What the photos show; empty where they show anything.
        is_pictured: Whether pictures stand beside the question.
    """

    kind: TextKind
    question: Question
    system: str
    list_form: str
    json_form: str
    noun: str = ""
    is_pictured: bool = False

    @cached_property
    def version(self) -> str:
        """sha256 of all its words, 64 hexadecimal digits; those for a domain or about pictures where there are such."""
        question = self.question.model_dump(by_alias=True, exclude={"in_domain", "again_in_domain", "pictured"})
        words: list[Any] = [self.system, self.list_form, self.json_form, question]
        words += [self._wording, self._further_wording] if self._is_in_domain else []
        words += [RENDITION, self.question.pictured or ""] if self.is_pictured else []
        return key_of([self.kind, *words])

    @property
    def _is_in_domain(self) -> bool:
        return bool(self.noun) and self.question.in_domain is not None

    @property
    def _wording(self) -> str:
        """The question as it is asked."""
        question = self.question
        return (question.in_domain or "").replace(_NOUN, self.noun) if self._is_in_domain else question.question

    @property
    def _further_wording(self) -> str:
        """The question as it is asked when names have been dropped before."""
        again = self.question.again_in_domain if self._is_in_domain else self.question.again
        return (again or "").replace(_NOUN, self.noun) or self._wording

    def messages(
        self, values: Mapping[str, str], *, is_structured: bool, pictures: Sequence[Picture] = ()
    ) -> list[Message]:
        """Write the prompt as a conversation.

        Args:
            values: `class`; `rival` for one-to-one; `count` and `excluded` when names have been dropped before; `shown`
                where the first pictures show the class and the others its rival.
            is_structured: Whether the server is given a schema.
            pictures: What stands beside the question, in this order behind its text.
        """
        wording = self._further_wording if "excluded" in values else self._wording
        start = self._structured_start if is_structured else self._plain_start
        asked = fill(wording, values)
        if not pictures:
            return [*start, {"role": "user", "content": asked}]
        told = fill(self.question.pictured or "", values)
        text = {"type": "text", "text": f"{asked}\n\n{told}".rstrip()}
        return [*start, {"role": "user", "content": [text, *(picture.part() for picture in pictures)]}]

    @cached_property
    def _structured_start(self) -> list[Message]:
        return self._start(self.json_form, is_structured=True)

    @cached_property
    def _plain_start(self) -> list[Message]:
        return self._start(self.list_form, is_structured=False)

    def _start(self, form: str, *, is_structured: bool) -> list[Message]:
        """The turns before the question itself: who the model is, and the worked example."""
        example = self.question.example
        return [
            {"role": "system", "content": f"{self.system} {form}"},
            {"role": "user", "content": fill(self.question.question, example.names)},
            {"role": "assistant", "content": example.answer(is_structured=is_structured)},
        ]


def load_prompts(extra: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, PromptSet]:
    """Load the shipped prompts and merge a user's own over them.

    Args:
        extra: Set name -> key (`system`, `attribute`, ...) -> value, as in `prompts.yaml`. A known set takes over the
            keys given; a new one takes from `general` what it does not say.

    Returns:
        Prompt sets by name, sorted.

    Raises:
        ConfigError: An unknown key, a wrong type, or a question without exactly its placeholders.
    """
    shipped = _shipped()
    given = {**{name: {} for name in shipped}, **(extra or {})}
    for name, layer in given.items():
        if not isinstance(layer, Mapping):
            raise ConfigError(f"expected questions by kind, found {layer!r}.", f"prompts.{name}", _SHAPE)
    general = _merged(shipped[DEFAULT_PROMPTS], given[DEFAULT_PROMPTS])
    return {name: _checked(name, _merged(general, shipped.get(name, {}), given[name])) for name in sorted(given)}


def find_prompts(name: str, prompts: Mapping[str, PromptSet]) -> PromptSet:
    """Look a prompt set up by name.

    Raises:
        ConfigError: There is no such set; names the nearest one and all there are.
    """
    if name in prompts:
        return prompts[name]
    hint = suggest_name(name, prompts)
    raise ConfigError(f"unknown prompt set {name!r}.", "prompts", f"{hint}There are: {', '.join(prompts)}.")


def domain_noun(domain: str) -> str:
    """What the photos of a shipped domain show, "a texture"; empty for `general` and for domains of a user's own."""
    return _nouns().get(domain, "")


def _read_file() -> dict[str, Any]:
    return _parse_file(packaged.read_packaged("atg/prompts.yaml"))


@lru_cache(maxsize=1)
def _parse_file(content: bytes) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(content)
    return loaded


def _nouns() -> dict[str, str]:
    nouns: dict[str, str] = _read_file()["nouns"]
    return nouns


def _shipped() -> dict[str, dict[str, Any]]:
    return {name: value for name, value in _read_file().items() if name != "nouns"}


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings, later ones over earlier ones; the questions inside key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both_open = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key != "example"
            merged[key] = _merged(_without_reworded(merged[key], value), value) if both_open else value
    return merged


def _without_reworded(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a domain would be asked in place of a question that a user has worded anew."""
    pairs = (("question", "in_domain"), ("again", "again_in_domain"))
    gone = {in_domain for plain, in_domain in pairs if plain in above}
    return {key: value for key, value in below.items() if key not in gone}


def _checked(name: str, layers: Mapping[str, Any]) -> PromptSet:
    try:
        prompts = PromptSet.model_validate(layers)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["prompts", name, *map(str, first["loc"])])
        raise ConfigError(f"{describe_refusal(first)}.", place, _SHAPE) from None
    for kind in GENERATED_KINDS:
        _check_question(f"prompts.{name}.{kind.value}", kind, prompts.prompt(kind).question)
    return prompts


def _check_question(place: str, kind: TextKind, question: Question) -> None:
    is_pair = kind is TextKind.ONE_TO_ONE
    _check_placeholders(f"{place}.question", question.question, {"class", "rival"} if is_pair else {"class"})
    single = {"class", "rival"} if is_pair else {"class"}
    worded = (
        ("again", _AGAIN),
        ("in_domain", {*single, "noun"}),
        ("again_in_domain", {*_AGAIN, "noun"}),
        ("pictured", {*single, "shown"} if is_pair else single),
    )
    for name, expected in worded:
        if (template := getattr(question, name)) is not None:
            _check_placeholders(f"{place}.{name}", template, expected)
    if is_pair and not (question.example.rival and question.example.rival_items):
        raise ConfigError("the example lacks `rival` or `rival_items`.", f"{place}.example", "Give both.")


def _check_placeholders(place: str, template: str, expected: set[str]) -> None:
    found = PLACEHOLDER.findall(template)
    if set(found) != expected or set(PLACEHOLDER.sub("", template)) & {"{", "}"}:
        listed = " and ".join(f"{{{name}}}" for name in sorted(expected))
        raise ConfigError(f"the question {template!r} must hold exactly {listed}.", place, "Correct the braces.")
