"""From the lines of a batch to outcomes, judged exactly as single calls are. Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from coder_core.atg.answers import Answer, Usage, read_answer
from coder_core.atg.batch_files import BatchLine, read_lines
from coder_core.atg.completions import FailedCompletion
from coder_core.atg.dialects import Dialect, judge_refusal
from coder_core.atg.faults import Fault, Problem
from coder_core.atg.names import NameSet
from coder_core.atg.outcomes import Outcome, complete_row, judge_answer
from coder_core.atg.pricing import Price, count_message_tokens, count_tokens
from coder_core.atg.replies import Reply
from coder_core.atg.requests import CompletionRequest

__all__ = ["BatchOutcomes", "read_outcomes"]


class BatchOutcomes(NamedTuple):
    """What became of a batch's questions.

    Args:
        by_key: Outcome by request key; a question without a line is absent.
        dialect: How to speak from now on, when lines were refused for how they were written.
    """

    by_key: dict[str, Outcome]
    dialect: Dialect | None


def read_outcomes(
    content: str,
    requests: Sequence[CompletionRequest],
    dialect: Dialect,
    price: Price | None,
    *,
    others: NameSet,
    hide: Callable[[str], str] = str,
) -> BatchOutcomes:
    """Read output and error file of a batch; lines may come in any order, unknown and repeated ones do not count.

    Args:
        content: Both files.
        requests: The questions of the batch.
        dialect: How they were written.
        price: What the model costs; None when unknown.
        others: Names of the class list, to notice answers about another class.
        hide: Takes the API key out of a text.
    """
    by_key = {request.key: request for request in requests}
    outcomes: dict[str, Outcome] = {}
    poorer: Dialect | None = None
    for line in read_lines(content):
        if line.key not in by_key or line.key in outcomes:
            continue
        if line.status == 200:
            answer = read_answer(line.body, hide=hide)
            outcomes[line.key] = _answered(answer, by_key[line.key], dialect, price, others)
            continue
        problem, suggested = _refused(line, dialect, hide)
        poorer = poorer or suggested
        outcomes[line.key] = Outcome(None, problem, (), 0)
    return BatchOutcomes(outcomes, poorer)


def _answered(
    answer: Answer, request: CompletionRequest, dialect: Dialect, price: Price | None, others: NameSet
) -> Outcome:
    if answer.problem is not None and answer.problem.fault is Fault.NOT_A_COMPLETION:
        return Outcome(None, answer.problem, (), 0)
    usage = answer.usage or _counted(request, answer.text, dialect)
    completion = complete_row(request, answer, usage, price, attempt=1, is_batch=True)
    problem = judge_answer(answer, request, others)
    if problem is None:
        return Outcome(completion, None, (), 0)
    return Outcome(None, problem, (FailedCompletion(completion, problem),), 0)


def _refused(line: BatchLine, dialect: Dialect, hide: Callable[[str], str]) -> tuple[Problem, Dialect | None]:
    if line.status == 0:
        return Problem(Fault.NOT_BOUGHT, "the batch ended before this question's turn."), None
    verdict = judge_refusal(Reply(line.status, {}, line.body), dialect, has_key=True, hide=hide)
    return verdict.problem, verdict.dialect


def _counted(request: CompletionRequest, text: str, dialect: Dialect) -> Usage:
    messages = request.prompt.messages(request.inputs.values(), is_structured=dialect.is_structured)
    prompt_tokens = count_message_tokens(messages, is_structured=dialect.is_structured)
    return Usage(prompt_tokens, count_tokens(text), is_reported=False)
