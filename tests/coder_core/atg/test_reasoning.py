"""What a model thinks aloud is never a text of a class."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.atg.parsing import Subject, parse_answer
from coder_core.atg.reasoning import without_reasoning
from coder_core.llm.faults import Fault, Problem
from coder_core.texts.kinds import TextKind

SHARED_TEXTS = Path(__file__).parents[4] / "shared" / "data" / "texts"

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
    "headlines with signs": ("\U0001f4ad **Thoughts**", "\n\n\u2705 **My final answer:**"),
    "underlined headlines": ("Thinking\n========", "\n\nAnswer\n======"),
    "numbered headlines": ("1. **Reasoning:**", "\n\n2. **Final answer:**"),
    "German headlines": ("**Gedankengang:**", "\n\n**Antwort:**"),
    "Chinese headlines": ("\u601d\u8003\u8fc7\u7a0b\uff1a", "\n\n\u6700\u7ec8\u7b54\u6848\uff1a"),
    "headlines with an end of thoughts": ("### Let me think about this", "\n\n--- end of thoughts ---"),
    "an instruction of XML": ("<?thinking?>", "<?/thinking?>"),
    "an exclamation": ("<!reasoning>", "</!reasoning>"),
    "a template": ("<%think%>", "<%/think%>"),
    "LaTeX": ("\\begin{thinking}", "\n\\end{thinking}"),
    "a block of Markdown": ("::: {.thinking}", "\n:::"),
    "a stage": ("*thinks*", "\n*stops thinking*"),
    "a stage and an answer": ("*pauses to think*", "\n*answers*"),
    "round brackets": ("(thinking)", "\n(end of thoughts)"),
    "brackets that begin and end": ("[start thinking]", "[end thinking]"),
    "channels with blanks": ("analysis We need a list.", "assistant final "),
    "channels on lines": ("analysis", "\nassistant\nfinal\n"),
    "channels of letters": ("a n a l y s i s", "a s s i s t a n t f i n a l "),
    "channels of which one is torn": ("analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
}
UNTOLD = {
    "a headline": "## Thinking",
    "a bold headline": "**Reasoning:**",
    "a sign": "### \U0001f914 Thought process",
    "underlined": "Thinking\n---",
    "Granite": "Here is my thought process:",
    "Granite, on its line": "Here is my thought process: The frog is an animal, so",
    "an introduction": "**Reasoning:** These come to mind:",
    "a stage": "*thinks*",
    "a stage, on its line": "*thinks* Now, what is it like",
    "round brackets": "(thinking)",
    "brackets that begin": "[start of thinking]",
    "an instruction of XML": "<?thinking?>",
    "LaTeX": "\\begin{reasoning}",
    "a block of Markdown": ":::thinking",
    "a channel": "<|channel|>analysis<|message|>",
    "a torn channel": "analysis<|message|>",
    "a channel without its tokens": "analysisWe need a list.",
    "a channel with blanks": "analysis We need a list.",
    "a channel on its line": "analysis",
    "a channel of letters": "a n a l y s i s",
    "a role": "<|start_of_role|>thought<|end_of_role|>",
    "another language": "\u601d\u8003\uff1a",
    "YAML": "thinking: |",
    "with the name of the class": "### My thinking about the green frog",
    "step by step": "Let's think step by step.",
}
CLOSING_ONLY = [
    "[end thinking]",
    "[END OF REASONING]",
    "(end of thoughts)",
    "*stops thinking*",
    "\n--- thinking ends ---",
    "\n\\end{thinking}",
    "I am done thinking.",
    "<?/thinking?>",
    "assistantfinal",
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


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("opening", UNTOLD.values(), ids=UNTOLD)
@pytest.mark.parametrize("thoughts", THOUGHTS)
def test_an_answer_that_cannot_be_told_from_thoughts_is_none(kind: TextKind, opening: str, thoughts: str) -> None:
    names, answer, _ = ANSWERS[kind]
    for text in (f"{opening}\n{thoughts}\n{answer}", f"Sure.\n\n{opening}\n\n{thoughts}"):
        if text.startswith("Sure.") and not announces_anywhere(opening):
            continue
        problem = parse_answer(text, Subject(kind, names))
        assert isinstance(problem, Problem)
        assert problem.fault in {Fault.CUT_OFF, Fault.UNUSABLE}


def announces_anywhere(opening: str) -> bool:
    """Channels without their tokens are known at the start of an answer only."""
    return not opening.startswith(("analysis", "a n a"))


@pytest.mark.parametrize(
    "answer",
    [
        "- long green legs\n- large eyes\n\n**Reasoning:**\n- these are seen in a photo\n### More\n- ponds are not",
        "frog:\n- long green legs\n- large eyes\n\n## Final thoughts\n- frogs are great",
        "## Thinking\nPonds are none.\n\n## Frog\n- long green legs\n- large eyes",
        "**Reasoning:** Ponds are no feature.\n\n- long green legs\n- large eyes",
        "Analysis: The frog is small.\nIt lives in ponds.\n\nfrog:\n- long green legs\n- large eyes",
        "I must avoid:\n- ponds\n\nFinal answer:\n- long green legs\n- large eyes",
        "Here are the visual features I thought of:\n- long green legs\n- large eyes\n\nLet me know what you think!",
        "**Legs:**\n- long green legs\n**Output:**\n- large eyes",
        "After some thinking, my list of features:\n\n* long green legs\n* large eyes",
        "<?thinking ponds are none ?>\n- long green legs\n- large eyes",
    ],
)
def test_an_answer_beside_thoughts_is_told_by_where_it_stands(answer: str) -> None:
    found = parse_answer(answer, Subject(TextKind.ATTRIBUTE, ("frog",)))
    assert found == (("long green legs", "large eyes"),)


@pytest.mark.parametrize(
    "answer",
    [
        "- lives in ponds\n\nWait, that is habitat.\n\n- long green legs",
        "Reasoning: The user wants features.\n- I should not mention ponds\n- green",
        "Thought: Ponds are no feature.\n\nIt has legs\nIt is green",
        '{"class": "frog", "items": ["in ponds"]}\nHmm, that is not visual. Let me try again.',
        "Thinking: habitat is out\n- lives in ponds",
    ],
)
def test_a_draft_is_no_answer(answer: str) -> None:
    assert isinstance(parse_answer(answer, Subject(TextKind.ATTRIBUTE, ("frog",))), Problem)


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
    answer = (
        "- a thinking face\n- reflection of the sky in its glass\n- legs < 3 cm\n- [worn] handle\n- *Thinking* pose"
    )
    phrases = ("a thinking face", "reflection of the sky in its glass", "legs < 3 cm", "[worn] handle", "Thinking pose")
    assert parse_answer(answer, Subject(TextKind.ATTRIBUTE, ("mirror",))) == (phrases,)
    unmarked = parse_answer("pondering\nthinking\nthought", Subject(TextKind.SYNONYM, ("reasoning",)))
    assert unmarked == (("pondering", "thinking", "thought"),)
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


@pytest.mark.parametrize("path", sorted(SHARED_TEXTS.glob("*.json")), ids=lambda path: path.stem)
def test_no_honest_list_is_taken_for_thoughts(path: Path) -> None:
    """Texts of real models about real classes, in the forms in which lists come."""
    published = json.loads(path.read_text("utf-8"))
    leads = ["", "{}:\n", "## {}\n", "**{}**\n\n", "After thinking about it, here are features of a {}:\n"]
    for kind in (TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM):
        for number, (name, items) in enumerate(zip(published["class_names"], published.get(kind) or (), strict=False)):
            for mark in ("- ", "1. "):
                lead = leads[number % len(leads)].format(name)
                text = without_reasoning(lead + "\n".join(f"{mark}{item}" for item in items), (name,))
                assert not isinstance(text, Problem), (name, items)
                assert all(str(item).strip() in text for item in items), (name, items)
