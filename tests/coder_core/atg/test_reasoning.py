"""What a model thinks aloud is never a text of a class."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.atg.parsing import Subject, parse_answer
from coder_core.atg.reasoning import without_reasoning
from coder_core.llm.faults import Fault, Problem
from coder_core.texts.kinds import TextKind

ANSWERS = {
    TextKind.ATTRIBUTE: (("frog",), "- long green legs\n- large eyes", (("long green legs", "large eyes"),)),
    TextKind.SYNONYM: (("sofa",), "- couch\n- settee", (("couch", "settee"),)),
    TextKind.ANALOGOUS_CLASS: (("frog",), "- Toad\n- Newt", (("Toad", "Newt"),)),
    TextKind.ONE_TO_ONE: (("frog", "toad"), "frog:\n- smooth skin\n\ntoad:\n- warts", (("smooth skin",), ("warts",))),
}
THOUGHTS = [
    "- I should not mention its habitat\n- no colours {either}, or [both]",
    'The user wants a list. Draft: {"class": "frog", "items": ["wet", "in ponds"]}.',
    "frog:\n- lives in ponds\n\ntoad:\n- lives in gardens\n\nHmm, that is not visual.",
    "1. **couch potato**\n2. bench\n\nWait, I need names only.",
    "",
]
MARKS = {
    "think": ("<think>", "</think>"),
    "thinking": ("<thinking>", "</thinking>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "reflection": ("<reflection>", "</reflection>"),
    "thought": ("<thought>", "</thought>"),
    "scratchpad": ("<scratchpad>", "</scratchpad>"),
    "inner monologue": ("<inner_monologue>", "</inner_monologue>"),
    "capitals": ("<THINK>", "</THINK>"),
    "blanks": ("< think >", "</ think >"),
    "attributes": ('<think time="3s" lang="en">', "</think>"),
    "another closing word": ("<think>", "</thinking>"),
    "name space": ("<seed:think>", "</seed:think>"),
    "Mistral": ("[THINK]", "[/THINK]"),
    "Kimi": ("◁think▷", "◁/think▷"),
    "DeepSeek's bars": ("<｜think｜>", "<｜/think｜>"),  # noqa: RUF001
    "Sky": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "Cohere": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "Apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "Gemma": ("<unused94>thought", "<unused95>"),
    "Gemma's channel": ("<|channel>thought", "<channel|>"),
    "escaped": ("&lt;think&gt;", "&lt;/think&gt;"),
    "details": ('<details type="reasoning" done="true">\n<summary>Thought for 3 s</summary>', "</details>"),
    "fence": ("```thinking", "\n```"),
    "comment": ("<!-- thinking", "-->"),
    "harmony": ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    "harmony without its special tokens": ("analysis", "assistantfinal"),
    "LongCat": ("<longcat_think>", "</longcat_think>"),
    "a long name": ("<reasoning_content>", "</reasoning_content>"),
    "a phrase": ("<internal thoughts>", "</internal thoughts>"),
    "a name with an end": ("<|thinking_start|>", "<|thinking_end|>"),
    "braces": ("{{think}}", "{{/think}}"),
    "lenses": ("【thinking】", "【/thinking】"),
    "Ollama": ("Thinking...", "...done thinking.\n"),
    "twice": ("<think>hm</think>\n<think>", "</think>"),
    "nested": ("<thinking>first <reflection>doubt</reflection>", "</thinking>"),
    "a mark inside": ("<think>I use <think> to think", "</think>"),
    "a mark of its own": ("<strategy>", "</strategy>"),
    "another one": ("<hidden note>", "</hidden note>"),
    "Chinese": ("<\u601d\u8003>", "</\u601d\u8003>"),
    "German": ("[Gedanken]", "[/Gedanken]"),
    "MiniMax": ("<mm:think>", "</mm:think>"),
    "DeepSeek's blanks": ("<|begin\u2581of\u2581thinking|>", "<|end\u2581of\u2581thinking|>"),
    "a tool": ("<tool_call>", "</tool_call>"),
    "a chat template": ("<|im_start|>think", "<|im_end|>\n<|im_start|>assistant"),
    "Granite's template": (
        "<|start_of_role|>thought<|end_of_role|>",
        "<|end_of_text|><|start_of_role|>assistant<|end_of_role|>",
    ),
    "tildes": ("~~~reasoning", "\n~~~"),
    "ruled headlines": ("=== THINKING ===", "\n\n=== ANSWER ==="),
    "dashed headlines": ("--- thinking ---", "\n\n--- answer ---"),
    "headlines": ("Thought process:", "\n\nFinal answer:"),
    "headlines of Granite": ("Here is my thought process:", "\n\nHere is my response:"),
    "Markdown headlines": ("## Reasoning", "\n\n## Answer"),
    "bold headlines": ("**Analysis**", "\n\n**Answer**"),
}
CLOSING_ONLY = [
    "</think>",
    "</strategy>",
    "<\\think>",
    "<|end\u2581of\u2581thinking|>",
    "[/INTERNAL MONOLOGUE]",
    "</thinking>",
    "[/THINK]",
    "◁/think▷",
    "</seed:think>",
    "<|end_of_thought|>",
    "<unused95>",
]
UNCLOSED = [
    "<think>",
    "<thinking>",
    "[THINK]",
    "◁think▷",
    "<seed:think>",
    "<|START_THINKING|>",
    "```thinking",
    "<unused94>",
    "<strategy>",
    "\u3010\u601d\u8003\u3011",
    "[ANALYSIS]",
    "<|im_start|>think",
]


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("marks", MARKS.values(), ids=MARKS)
@pytest.mark.parametrize("thoughts", THOUGHTS)
def test_thoughts_are_left_out_whatever_their_marks(kind: TextKind, marks: tuple[str, str], thoughts: str) -> None:
    names, answer, phrases = ANSWERS[kind]
    text = f"{marks[0]}\n{thoughts}\n{marks[1]}\n{answer}"
    assert parse_answer(text, Subject(kind, names)) == phrases


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("mark", CLOSING_ONLY)
def test_an_opening_mark_may_have_stayed_in_the_prompt(kind: TextKind, mark: str) -> None:
    names, answer, phrases = ANSWERS[kind]
    assert parse_answer(f"{THOUGHTS[0]}\n{mark}\n\n{answer}", Subject(kind, names)) == phrases


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("mark", [*UNCLOSED, "<|channel|>analysis<|message|>", "<think>a</think>\n<think>"])
def test_thoughts_that_never_end_are_an_answer_that_was_cut_off(kind: TextKind, mark: str) -> None:
    names, answer, _ = ANSWERS[kind]
    problem = parse_answer(f"{mark}\n{THOUGHTS[0]}\n{answer}", Subject(kind, names))
    assert isinstance(problem, Problem)
    assert problem.fault is Fault.CUT_OFF


@pytest.mark.parametrize(
    "marks", [marks for name, marks in MARKS.items() if "headlines" not in name and name != "Ollama"]
)
def test_a_structured_answer_after_thoughts_is_read(marks: tuple[str, str]) -> None:
    answer = json.dumps({"class": "frog", "items": ["long green legs", "large eyes"]})
    text = f"{marks[0]}\n{THOUGHTS[1]}\n{marks[1]}\n{answer}"
    assert parse_answer(text, Subject(TextKind.ATTRIBUTE, ("frog",))) == (("long green legs", "large eyes"),)


@pytest.mark.parametrize(
    "answer",
    [
        '{"reasoning": ["I look at its legs"], "class": "frog", "items": ["long green legs"]}',
        '{"class": "frog", "thoughts": ["it lives in ponds"], "items": ["long green legs"]}',
        '{"analysis": "ponds", "answer": {"class": "frog", "items": ["long green legs"]}}',
        '{"thinking": ["ponds"], "features": ["long green legs"]}',
        "Hmm, ponds are no feature.\n<answer>\n- long green legs\n</answer>",
        "<think>ponds</think><answer>- long green legs</answer>",
        "<thinking>ponds</thinking>\n<output>\n- long green legs\n<reflection>- fine</reflection>\n</output>",
        "<|START_THINKING|>ponds<|END_THINKING|><|START_RESPONSE|>- long green legs<|END_RESPONSE|>",
        "<think>ponds</think><response>- long green legs</response>",
        "<|start|>assistant<|channel|>analysis<|message|>ponds<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>- a tool<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>"
        '{"class": "frog", "items": ["long green legs"]}<|return|>',
        "I should name no habitat.<|end|><|start|>assistant<|channel|>final<|message|>- long green legs",
        "- long green legs\n<think>good, that is all</think>",
        "Thought: ponds are no feature.\n- long green legs",
        "<think/>\n- long green legs",
        "- I should not mention its habitat\n- The user wants a list\n- long green legs\n- Let me stop here",
    ],
)
def test_other_ways_to_think_aloud(answer: str) -> None:
    assert parse_answer(answer, Subject(TextKind.ATTRIBUTE, ("frog",))) == (("long green legs",),)


def test_a_line_of_thoughts_is_no_name() -> None:
    answer = "Thought: I need other names.\nFinal Answer: couch, settee"
    assert parse_answer(answer, Subject(TextKind.SYNONYM, ("sofa",))) == (("couch", "settee"),)


def test_words_about_thinking_are_texts_where_they_are_no_marks() -> None:
    answer = "- a thinking face\n- reflection of the sky in its glass\n- legs < 3 cm\n- [worn] handle"
    phrases = ("a thinking face", "reflection of the sky in its glass", "legs < 3 cm", "[worn] handle")
    assert parse_answer(answer, Subject(TextKind.ATTRIBUTE, ("mirror",))) == (phrases,)
    thinker = parse_answer("thinking:\n- chin on a hand", Subject(TextKind.ATTRIBUTE, ("thinking",)))
    assert thinker == (("chin on a hand",),)


@pytest.mark.parametrize(
    "answer",
    [
        "<attributes>\n- long green legs\n- large eyes\n</attributes>",
        "Here is the list.\n<attributes>\n- long green legs\n- large eyes\n</attributes>\nI hope this helps!",
        "<attributes>\n- long green legs\n- large eyes\n",
        "<ul>\n<li>long green legs</li>\n<li>large eyes</li>\n</ul>",
        "- <b>long</b> green legs\n- large eyes<|im_end|>",
        "<|im_start|>assistant\n- long green legs\n- large eyes<|im_end|>\n<|endoftext|>",
    ],
)
def test_marks_around_an_answer_do_not_hide_it(answer: str) -> None:
    found = parse_answer(answer, Subject(TextKind.ATTRIBUTE, ("frog",)))
    assert found == (("long green legs", "large eyes"),)


TEXT = st.text(string.ascii_letters + " \n-{}[]:.,", max_size=60)


@given(st.lists(st.tuples(TEXT, st.sampled_from(list(MARKS.values())[:10])), max_size=4), TEXT)
@settings(max_examples=60, deadline=None)
def test_what_stands_outside_of_marks_stays(thoughts: list[tuple[str, tuple[str, str]]], answer: str) -> None:
    text = "".join(f"{opening}{thought}{closing}" for thought, (opening, closing) in thoughts) + answer
    found = without_reasoning(text)
    assert isinstance(found, str)
    assert found.split() == answer.split()
