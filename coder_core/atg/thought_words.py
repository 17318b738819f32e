r"""The words by which a model announces its thoughts and its answer, whatever signs dress them. Pure.

There is no common form: `## Thinking`, `**Reasoning:**`, `*thinks*`, `(end of thoughts)`, `=== ANSWER ===`,
`\begin{reasoning}`, `Here is my thought process: ...`. So a line is reduced to its words and these are compared; the
signs around them only say whether it stands there as a headline or as an item of a list.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

__all__ = [
    "THOUGHT",
    "Announcement",
    "Role",
    "announcement",
    "is_item",
    "is_monologue",
    "is_reasoning_name",
    "is_soliloquy",
    "may_announce",
]

_STEM = r"(?:think|thought|reason|reflect|monologue|scratch_?pad|analysis|contemplat|deliberat|ponder)"
THOUGHT = (
    rf"(?:[\w.-]{{0,40}}?{_STEM}[\w.-]{{0,40}}|(?:inner|internal|private)[ _-]\w{{1,20}}|cot"
    r"|(?:chain|train)[ _-]?of[ _-]?thoughts?|thoughts? process|self[ _-]?(?:critique|correction|check)|rationale"
    r"|plan(?:ning)?|critique|verif(?:y|ication)|notes?[ _-]to[ _-]self|brainstorm(?:ing)?|draft)"
)
"""What stands between brackets around thoughts, as a pattern."""

_LEAD = (
    r"(?:(?:here's|here (?:is|are)|this is|my|let me|let us|let's|the|some|now|first|initial|internal|inner|private"
    r"|hidden|quick|brief|final|own|i|i'm|am|okay|ok|so|begin|start|of|step(?: |-)by(?: |-)step|step \d+|\d+|phase"
    r"|part|section|assistant's?|model's?|ai|extended) )*"
)
_NOUN = (
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|drafts?|analy[sz]ing|chain(?: |-)of(?: |-)thoughts?|cot"
    r"|scratch ?pad|monologue|rationale|deliberations?|brainstorm(?:ing)?|pondering|musings?"
    r"|self(?: |-)(?:critique|correction)|gedanken(?:gang)?|überlegung(?:en)?|denkprozess"
    r"|raisonnement|réflexions?|razonamiento|pensamientos?|ragionamento|raciocínio|рассуждени[ея]|размышлени[ея]|思考(?:过程|過程|プロセス)?|推理(?:过程)?|考え|추론|생각)"
)
_TAIL = (
    r"(?: (?:process|steps?|section|phase|mode|block|trace|notes?|out loud|aloud|silently|quietly|carefully|deeply"
    r"|hard|it through|this through|first|starts?|begins?|for a (?:moment|while|second)"
    r"|(?:about|for|behind|regarding) (?:it|this|that|(?:the|an?) \w+(?: \w+)?)"
    r"|to (?:my|him|her|it)self|on this|step(?: |-)by(?: |-)step|(?:is |are )?as follows|is|are))*"
)
_ENDS = r"(?:ends?|ended|ending|stop(?:s|ped)?|done|finish(?:es|ed)?|closes?|exits?|complete[d]?|conclude[sd]?)"
_RESOLVE = (
    r"(?:let me|let us|let's|i'll|i will|i need to|i should|i must|we need to|we should) (?:first |now |just )?"
    r"(?:think|reason|analy[sz]e|consider|work|break|reflect|plan|brainstorm)"
    r"(?: (?:it|this|that|the (?:question|request|task|problem)|down|out|through|about|on|ahead|first|carefully))*"
)
_THOUGHTS = re.compile(rf"{_LEAD}{_NOUN}{_TAIL}|{_RESOLVE}{_TAIL}")
_ACT = re.compile(
    r"(?:(?:\w+ ){1,4}(?:to|and) )?"
    rf"(?:thinks?|ponders?|muses?|reasons|reflects?|contemplates?|deliberates?|considers?){_TAIL}"
)
"""What a model writes as on a stage: `*thinks*`, `(pauses to think)`."""
_END = re.compile(
    rf"(?:(?:i'm|i am|i have|i've|the|now|okay|and) )*{_ENDS}(?: (?:of|with|the|my|his|her|its))* {_NOUN}{_TAIL}"
    rf"|{_LEAD}{_NOUN}{_TAIL} (?:is |are )?(?:{_ENDS}|over|off)"
)
_ANSWER = re.compile(
    r"(?:(?:here's|here (?:is|are)|this is|my|the|so|now|thus|therefore|and|okay|start of|begin|assistant) )*"
    r"(?:(?:final )?(?:answers?|response|output|solution|result|reply)"
    r"|final(?: (?:\w+ )?(?:list|version|selection|set|features|attributes|names|synonyms|descriptions))?"
    r"|antwort|réponse(?: finale)?|respuesta(?: final)?|risposta|resposta|ответ|(?:最[终終])?(?:答案|回答)|답변)"
    r"(?: (?:list|is|are|follows|section|begins?|starts?|below))*"
)
_UNCERTAIN = re.compile(r"(?:the )?(?:response|output|solution|result|reply)(?: list)?|final")
_SPEAKS = re.compile(r"(?:then |finally )?(?:answers|responds|replies|speaks|says|writes)(?: aloud)?")
_MAY_ANNOUNCE = re.compile(
    r"thin?k|thought|reason|anal|scratch|monolog|rational|deliberat|brainstorm|ponder|mus(?:es|ing)|contempl|reflect"
    r"|critique|consider|\bcot\b|answer|respon|reply|replies|output|solution|result|final|gedanke|überleg|denkpro"
    r"|raison|réfl|razon|pensam|ragion|racioc|рассужд|размышл|ответ|antwort|répon|respuesta|rispos|respos|思考|推理"
    r"|考え|추론|생각|答|답|wait\b|hmm|\bthe user\b|\b(?:i|we) (?:should|need|must|have)\b|\blet me\b|\blet's\b",
    re.IGNORECASE,
)

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_TAGS = re.compile(r"</?(?:b|strong|em|i|u|h[1-6]|p|span|div|summary|font)(?:\s[^<>]{0,200})?>", re.IGNORECASE)
_BULLET = re.compile(r"(?:[-*+\u2022\u2013]\s|\(?\d{1,3}[.)]\s|[a-z][.)]\s)\s*", re.IGNORECASE)
_ITEM = re.compile(r"\s{0,8}(?:[-*+\u2022\u2013]\s|\(?\d{1,3}[.)]\s|[{\[]\s{0,8}(?:[\"{\[]|$))")
_JSON = re.compile(r"[{\[]{0,3}\s{0,3}\"")
_SLASHED = re.compile(r"\W{0,7}[/\\]\W{0,3}(?!begin|start)\w", re.IGNORECASE)
_ON_STAGE = re.compile(r"(?P<sign>[*_~]{1,3}|[(\[<])\s?(?P<act>[^*_~()\[\]<>]{3,60}?)\s?(?:[*_~]{1,3}|[)\]>])")
_LONGEST_LABEL = 60

_NAME = re.compile(
    r"^_*(?:think(?:ing)?|thoughts?|reason(?:ing|s)?|reflections?|analysis|scratch_?pad|(?:inner|internal)_\w{1,20}"
    r"|chain_of_thoughts?|cot|thought_process|rationale|plan(?:ning)?|(?:self_)?(?:critique|check|reflection)|steps?"
    r"|drafts?|notes?|considerations?|explanations?|justifications?|deliberations?|brainstorm(?:ing)?|monologue|comments?"
    r"|commentary)(?:_content|_process|_steps|_text)?_*$",
    re.IGNORECASE,
)
_SOLILOQUY = re.compile(
    r"^(?:(?:okay|ok|hmm+|wait|alright|so|now|first|also|but|maybe|perhaps|actually)[,.]? )?"
    r"(?:i (?:should|shouldn't|need|must|will|can|could|have to|think|want|don't|am going|might|recall)\b"
    r"|i'(?:ll|m|d|ve)\b|let me\b|let's\b|we (?:should|need|must|have to|can|could|are asked)\b"
    r"|the (?:user|question|prompt|task|instruction)s? (?:\w+ )?(?:wants?|asks?|says?|is|needs?|requires?)\b)",
    re.IGNORECASE,
)
_MONOLOGUE = re.compile(
    r"(?:(?:okay|ok|alright|so|now|but|actually|well)[,.]? )?"
    r"(?:hmm+\b|wait\b[,.! ]|the user (?:wants|asks|asked|is asking|says|said)\b"
    r"|(?:i|we) (?:should|need to|must|have to|might) (?:not |also |only )?(?:avoid|list|name|give|write|think|consider"
    r"|focus|make sure|check|find|provide|keep|be careful|be sure|answer|output|exclude|include|drop|remove|refine)\b"
    r"|let(?: me|'s) (?:think|check|refine|reconsider|double|re-?|try|start|make|remove|drop|list|write|revise)"
    r"|that is (?:not|no) (?:visual|a feature)|(?:are|is) (?:these|this|that|those) (?:visual|right|correct))",
    re.IGNORECASE,
)


class Role(Enum):
    """What a line announces; the end of thoughts announces the answer."""

    THOUGHT = auto()
    ANSWER = auto()


class Announcement(NamedTuple):
    """A line that says what follows.

    Args:
        role: Thoughts, or the answer.
        rest: What stands behind it on the same line; empty for a headline.
        level: Depth of a Markdown headline, 1 to 6; 0 where it is none.
        is_item: Whether it is an item of a list.
        is_certain: Whether it says so by itself; "Output:" may also be a part of what is described.
    """

    role: Role
    rest: str = ""
    level: int = 0
    is_item: bool = False
    is_certain: bool = True


def may_announce(text: str) -> bool:
    """Tell, quickly, whether any line of a text can announce anything or talk to itself."""
    return bool(_MAY_ANNOUNCE.search(text))


def announcement(line: str, *, is_alone: bool = False) -> Announcement | None:
    """Read a line as the announcement of thoughts or of the answer.

    Args:
        line: As written.
        is_alone: Whether it stands apart from other lines: then a bare word counts, which may be an item elsewhere.
    """
    stripped = _TAGS.sub(" ", line.strip().lstrip(">")).strip()
    if _JSON.match(stripped):  # (keys have their own judge: `is_reasoning_name`)
        return None
    bullet = _BULLET.match(stripped)
    body = stripped[bullet.end() :] if bullet else stripped
    role = _role(body) if len(body) <= _LONGEST_LABEL else None
    if role is None:
        return _inline(body, is_item=bool(bullet))
    if bullet and not _is_emphatic(body):
        return None
    is_bare = body[0].isalnum() and body[-1].isalnum()
    if is_bare and not is_alone and " " not in body:
        return None
    level = len(stripped) - len(stripped.lstrip("#"))
    return Announcement(role, level=level, is_certain=_is_certain(role, body))


def is_item(line: str) -> bool:
    """Tell whether a line carries the mark of a list, or begins the JSON of one."""
    return bool(_ITEM.match(line))


def is_monologue(line: str) -> bool:
    """Tell whether a line that is no item talks to itself: "Wait, that is habitat.", "The user wants ..."."""
    return bool(_MONOLOGUE.match(line.strip(" \t#*_>(")))


def is_reasoning_name(name: str) -> bool:
    """Tell whether the key of a JSON object holds thoughts."""
    return bool(_NAME.match(name.strip().replace(" ", "_")))


def is_soliloquy(text: str) -> bool:
    """Tell whether an item speaks of the task instead of the class: "I should not mention its habitat"."""
    return bool(_SOLILOQUY.match(text))


def _role(label: str) -> Role | None:
    words = " ".join(_WORD.findall(label.casefold()))
    if not words:
        return None
    if _END.fullmatch(words):
        return Role.ANSWER
    if _THOUGHTS.fullmatch(words):
        return Role.ANSWER if _SLASHED.match(label) else Role.THOUGHT
    if _ANSWER.fullmatch(words):
        return None if _SLASHED.match(label) else Role.ANSWER
    stage = _ON_STAGE.fullmatch(label.rstrip(" .:\u2026"))
    if stage and _ACT.fullmatch(words):
        return Role.THOUGHT
    return Role.ANSWER if stage and _SPEAKS.fullmatch(words) else None


def _is_emphatic(body: str) -> bool:
    return body.startswith(("**", "__")) or body.rstrip("*_ ").endswith(":")


def _inline(body: str, *, is_item: bool) -> Announcement | None:
    """`Thought: I need names.`, `*thinks* What is it?`, `Here is my response: couch, settee`."""
    for label in _labels(body):
        rest = body[len(label) :].strip(" \t*_")
        role = _role(label) if rest else None
        if role is Role.THOUGHT or (role is Role.ANSWER and not is_item):
            return Announcement(role, rest, is_item=is_item, is_certain=_is_certain(role, label))
    return None


def _is_certain(role: Role, label: str) -> bool:
    return role is Role.THOUGHT or not _UNCERTAIN.fullmatch(" ".join(_WORD.findall(label.casefold())))


def _labels(body: str) -> Iterator[str]:
    """What may be a label at the start of a line: up to a colon, or between signs of emphasis."""
    before, colon, _ = body[: _LONGEST_LABEL + 1].partition(":")
    if colon:
        yield before + colon
    stage = _ON_STAGE.match(body)
    if stage and not body[stage.end() :].lstrip()[:1].islower():  # ("*Thinking* face" is a phrase)
        yield stage[0]
