"""Channels and roles of chat templates, where a server passes their signs on, whole or torn. Pure.

gpt-oss sends `<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...`; a server that
drops special tokens leaves `analysisWe need ... assistantfinal- fur`, one that puts blanks for them
`analysis We need ... assistant final - fur`.
"""

import re

from coder_core.atg.thought_words import THOUGHT

__all__ = ["final_channel", "last_role"]

_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w*)[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>"
    r"(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_ANY_FINAL = r"a ?s ?s ?i ?s ?t ?a ?n ?t\s{0,3}f ?i ?n ?a ?l"
_BARE_CHANNEL = re.compile(
    rf"^\W*(?:(?:analysis|commentary)(?=[A-Z]|.*?{_ANY_FINAL}| [A-Z][\w']* |[ \t]*\n)"
    r"|(?i:a n a l y s i s|c o m m e n t a r y))",
    re.DOTALL,
)
"""An opening channel without its tokens; "Analysis:" is a headline, "analysis table" a phrase."""
_BARE_FINAL = re.compile(rf"assistantfinal|{_ANY_FINAL}|^[ \t]*(?:final|f i n a l)[ \t]*:?[ \t]*$", re.MULTILINE)
_JOINED_FINAL = "assistantfinal"
_NEXT_CHANNEL = re.compile(r"assistant\s?(?:analysis|commentary)")

_TOKEN = re.compile(r"<\|/?[\w ./:-]{1,40}\|>")
"""A sign of a chat template, where a server writes it out: `<|im_start|>think`, `<|end_of_role|>`."""
_ROLE = re.compile(r"^\s{0,3}(?:assistant|answer|final|response|output|bot|model)\s*(?:\n|$)", re.IGNORECASE)
_THOUGHT_ROLE = re.compile(rf"{THOUGHT}\s*(?:\n|:|$)", re.IGNORECASE)
_ONLY_THOUGHT = re.compile(rf"(?:\w+\s)?{THOUGHT}\s*", re.IGNORECASE)


def final_channel(text: str) -> str | None:
    """The text of gpt-oss's channel `final`; None when there are channels and the final one is missing."""
    if "<|channel|>" in text:
        finals = [message for name, message in _CHANNEL.findall(text) if name == "final"]
        return "\n".join(finals) if finals else None
    if _BARE_CHANNEL.match(text):
        ends = [found.end() for found in _BARE_FINAL.finditer(text)]
        return _until_next_channel(text[ends[-1] :]) if ends else None
    if _JOINED_FINAL in text:  # its opening channel was part of the prompt
        return _until_next_channel(text.rpartition(_JOINED_FINAL)[2])
    return None if _NEXT_CHANNEL.match(text) else text


def last_role(text: str) -> str | None:
    """What stands behind the last token of a chat template that anything stands behind; None when it is thought."""
    if not _TOKEN.search(text):
        return text
    parts = [part for part in _TOKEN.split(text) if part.strip()]
    last = parts[-1] if parts else ""
    spoken = _ROLE.sub("", last)
    is_in_thoughts = spoken == last and any(_ONLY_THOUGHT.fullmatch(part.strip()) for part in parts[-2:-1])
    return None if is_in_thoughts or _THOUGHT_ROLE.match(last.strip()) else spoken


def _until_next_channel(text: str) -> str:
    found = _NEXT_CHANNEL.search(text)
    return text[: found.start()] if found else text
