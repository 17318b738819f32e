"""What a model thought aloud before it answered: told apart from the answer by the marks that models write. Pure.

Reasoning models are asked for a list and send a draft, a doubt and then the list; servers without a parser for that
model pass all of it on. There is no common mark: `<think>` (DeepSeek, Qwen), `<seed:think>`, `[THINK]` (Mistral),
`◁think▷` (Kimi), `<|START_THINKING|>` (Cohere), `<|begin_of_thought|>`, `<unused94>` (Gemma), the channels of gpt-oss,
headlines. So marks are known by their shape (a word for thinking between brackets), not from a list of models. Of an
opening mark that chat templates put into the prompt only the closing one arrives: then all before it was thought. A
mark that never closes means that the answer did not begin.
"""

import re

from coder_core.atg.foreign_marks import without_foreign_marks
from coder_core.llm.faults import Fault, Problem

__all__ = ["is_answer_headline", "is_reasoning_headline", "is_reasoning_name", "is_soliloquy", "without_reasoning"]

_STEM = r"(?:think|thought|reason|reflect|monologue|scratch_?pad|analysis|contemplat|deliberat|ponder)"
_THOUGHT = (
    rf"(?:[\w.-]{{0,40}}?{_STEM}[\w.-]{{0,40}}|(?:inner|internal|private)[ _-]\w{{1,20}}|cot"
    r"|(?:chain|train)[ _-]?of[ _-]?thoughts?|thoughts? process|self[ _-]?(?:critique|correction|check)|rationale"
    r"|plan(?:ning)?|critique|verif(?:y|ication)|notes?[ _-]to[ _-]self|brainstorm(?:ing)?|draft)"
)
_ANSWER = r"(?:(?:final[_ -]?)?(?:answer|response|output|solution|result|reply)|final)"
_EDGE = r"(?:[_ -](?:start|begin|end))?"
_SIDE = r"(?:/|(?:begin|start|end)[_ ](?:of[_ ])?)?"


def _marks(word: str) -> str:
    """The shapes of a mark around a word; the group `side` says whether it closes."""
    inside = rf"\s{{0,3}}{_SIDE}\s{{0,3}}(?:[a-z]\w{{0,20}}:)?{word}{_EDGE}"
    return rf"(?:(?:<|&lt;)\|?{inside}(?:\s[^<>]{{0,200}})?/?\|?(?:>|&gt;)|◁{inside}\s{{0,3}}▷)"


_BRACKETED = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|(?:inner|internal)[ _-]\w{1,20})"
_MARK = re.compile(
    rf"{_marks(_THOUGHT)}|[\[{{【]{{1,2}}/?{_BRACKETED}[\]}}】]{{1,2}}|</?details(?:\s[^<>]{{0,200}})?>"
    r"|<\|inner_(?:prefix|suffix)\|>|<unused9[45]>|<\|channel>\s{0,3}(?:thought|analysis)\b|<channel\|>",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"^(?:&lt;|\W){0,7}/|^\W*end|[_ -]end\W*$|suffix|unused95|^<channel\|>", re.IGNORECASE)
_EMPTY = re.compile(r"/\|?(?:>|&gt;)$")
_THOUGHT_WORD = re.compile(rf"{_THOUGHT}\s*(?:\n|:|$)", re.IGNORECASE)
_ANSWER_MARK = re.compile(_marks(_ANSWER), re.IGNORECASE)
_FENCE = re.compile(
    rf"^[ \t]*(```|~~~)[ \t]*{_THOUGHT}\b[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w*)[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>"
    r"(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_BARE_CHANNEL = re.compile(r"^\s*(?:analysis|commentary)(?=[A-Z]|.*assistantfinal)", re.DOTALL)
_BARE_FINAL = "assistantfinal"
"""What is left of gpt-oss's channels where a server drops special tokens: `analysisWe need ... assistantfinal- fur`."""

_REASONING_HEADLINE = re.compile(
    r"^(?:here (?:is|are) |my |let me |the |initial |step[- ]by[- ]step |some )*"
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|chain of thought|scratch ?pad|(?:inner|internal) monologue)"
    r"(?: (?:process|steps?|out loud|aloud|it through|this through|first))?\s*[:.]*$",
    re.IGNORECASE,
)
_ANSWER_HEADLINE = re.compile(
    rf"^(?:here (?:is|are) |my |the |so |this is )*{_ANSWER}(?: (?:list|is))?\s*:*$"
    r"|^\.*\s*(?:done|finished|end of) (?:thinking|reasoning)\.*$",
    re.IGNORECASE,
)
_RULE = re.compile(r"^\s*(?:-{2,}|={2,})|(?:-{2,}|={2,})\s*$")
_MAY_THINK = re.compile(r"think|thought|reason|analysis|scratch|monologue|rationale|reflection", re.IGNORECASE)
_MAY_BE_MARKED = re.compile(r"[<◁`【]|~~~|&lt;|[\[{(]\s?[/\\]|[\[{]/?[tri]|analysis|commentary", re.IGNORECASE)
_THOUGHT_LINE = re.compile(r"^(?:thoughts?|thinking|reasoning|analysis|rationale|reflection)\s*:\s*\S", re.IGNORECASE)
_NAME = re.compile(
    r"^_*(?:think(?:ing)?|thoughts?|reason(?:ing|s)?|reflections?|analysis|scratch_?pad|(?:inner|internal)_\w{1,20}"
    r"|chain_of_thoughts?|cot|thought_process|rationale|plan(?:ning)?|(?:self_)?critique)(?:_content|_process|_steps)?_*$",
    re.IGNORECASE,
)
_SOLILOQUY = re.compile(
    r"^(?:(?:okay|ok|hmm+|wait|alright|so|now|first|also|but|maybe|perhaps|actually)[,.]? )?"
    r"(?:i (?:should|shouldn't|need|must|will|can|could|have to|think|want|don't|am going|might|recall)\b"
    r"|i'(?:ll|m|d|ve)\b|let me\b|let's\b|we (?:should|need|must|have to|can|could|are asked)\b"
    r"|the (?:user|question|prompt|task|instruction)s? (?:\w+ )?(?:wants?|asks?|says?|is|needs?|requires?)\b)",
    re.IGNORECASE,
)


def without_reasoning(answer: str) -> str | Problem:
    """Take out what was thought and not answered.

    Returns:
        The answer's own text; or a problem when the text ends before the thinking does.
    """
    if not _MAY_BE_MARKED.search(answer):
        return _below_headline(answer)
    text = _final_channel(_without_comments(answer.replace("\u2581", "_")))  # (DeepSeek's blank)
    if text is None or any(fence[0].rstrip()[-3:] != fence[1] for fence in _FENCE.finditer(text)):
        return _UNFINISHED
    outside = _outside_marks(_FENCE.sub("", text))
    inside = None if outside is None else without_foreign_marks(_inside_answer_marks(outside), is_thought=_THOUGHT_WORD)
    return _UNFINISHED if inside is None else _below_headline(inside)


def is_reasoning_headline(text: str) -> bool:
    """Tell whether a headline announces thoughts: "Thought process:", "Let me think:", "Reasoning"."""
    return bool(_REASONING_HEADLINE.match(text))


def is_answer_headline(text: str) -> bool:
    """Tell whether a headline announces the answer: "Final answer:", "Here is my response:"."""
    return bool(_ANSWER_HEADLINE.match(text))


def is_reasoning_name(name: str) -> bool:
    """Tell whether the key of a JSON object holds thoughts."""
    return bool(_NAME.match(name.strip()))


def is_soliloquy(text: str) -> bool:
    """Tell whether an item speaks of the task instead of the class: "I should not mention its habitat"."""
    return bool(_SOLILOQUY.match(text))


_UNFINISHED = Problem(Fault.CUT_OFF, "the model was still thinking when its answer ended.")


def _without_comments(text: str) -> str:
    """Take HTML comments out; one that never closes is text."""
    start, *pieces = text.split("<!--")
    kept = [start]
    for piece in pieces:
        _, closing, rest = piece.partition("-->")
        kept.append(rest if closing else f"<!--{piece}")
    return "".join(kept)


def _final_channel(text: str) -> str | None:
    """The text of gpt-oss's channel `final`; None when there are channels and the final one is missing."""
    if "<|channel|>" in text:
        finals = [message for name, message in _CHANNEL.findall(text) if name == "final"]
        return "\n".join(finals) if finals else None
    if _BARE_CHANNEL.match(text):
        _, found, final = text.rpartition(_BARE_FINAL)
        return final if found else None
    return text


def _outside_marks(text: str) -> str | None:
    """The text outside of all marks; None when the last one never closes."""
    kept: list[str] = []
    position, opened_at = 0, -1
    for mark in _MARK.finditer(text):
        if _EMPTY.search(mark[0]):
            continue
        if not _CLOSING.search(mark[0]):
            if opened_at < 0:
                kept.append(text[position : mark.start()])
                opened_at = mark.start()
            continue
        if opened_at < 0:  # its opening mark was part of the prompt: all before it was thought
            kept, opened_at = [], 0
        kept.append("\n" if "\n" in text[opened_at : mark.start()] else " ")
        position, opened_at = mark.end(), -1
    return None if opened_at >= 0 else _MARK.sub("", "".join([*kept, text[position:]]))


def _inside_answer_marks(text: str) -> str:
    """What stands between the marks of an answer, where there are any."""
    marks = list(_ANSWER_MARK.finditer(text))
    starts = [mark.end() for mark in marks if not _CLOSING.search(mark[0])]
    if not starts:
        return _ANSWER_MARK.sub("", text)
    ends = [mark.start() for mark in marks if _CLOSING.search(mark[0])] + [len(text)]
    return "\n".join(_ANSWER_MARK.sub("", text[start : min(end for end in ends if end >= start)]) for start in starts)


def _below_headline(text: str) -> str:
    """What stands below the last "Answer:", where thoughts have a headline above it."""
    if not _MAY_THINK.search(text):
        return text
    lines = text.splitlines()
    bare = [_RULE.sub("", line).strip(" \t#*_>") for line in lines]
    kept = [line for line, words in zip(lines, bare, strict=True) if not _THOUGHT_LINE.match(words)]
    thoughts = [at for at, line in enumerate(bare) if is_reasoning_headline(line)]
    answers = [at for at, line in enumerate(bare) if is_answer_headline(line)]
    return (
        "\n".join(lines[answers[-1] + 1 :]) if thoughts and answers and answers[-1] > thoughts[0] else "\n".join(kept)
    )
