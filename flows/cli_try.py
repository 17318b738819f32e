"""`coder-eval try FOLDER` and `coder-eval init FOLDER`: from photographs to a first number, without writing YAML."""

import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from coder_core import DEFAULT_STORE
from coder_core.counted import counted
from coder_core.errors import ConfigError, raise_all
from coder_core.printable_text import printable
from flows.cli_common import explain_errors, program_name, store_option
from flows.cli_logging import note_line

if TYPE_CHECKING:
    from coder_core.recipes.first_config import FirstConfig
    from coder_core.specs import EvalSpec, Runtime

Command = Callable[..., None]


def wish_options(command: Command) -> Command:
    """What both commands ask for."""
    for option in (
        click.option("--force", is_flag=True, help="Replace a config that holds something else."),
        click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The config; default: NAME.yaml."),
        click.option("--name", help="Of the evaluation; default: the folder's."),
        click.option("--domain", help="Whose sentences: bird, food, texture, satellite, ... (general)."),
        click.option("--shots", type=click.IntRange(min=1), help="Learn from this many images of each class, too."),
        click.option("--texts", help="A text bank (.yaml), published texts (.json), or llm:MODEL."),
        click.option("--classes", type=click.Path(), help="Names, one per line: of unsorted images, for one."),
        click.option(
            "--model",
            help="ARCHITECTURE/TAG, hf-hub:ORG/NAME, ORG/NAME or a folder.  "
            "[default: ViT-B-32/laion2b_s34b_b79k, 605 MB]",
        ),
        click.argument("images", metavar="FOLDER"),
    ):
        command = option(command)
    return command


@contextmanager
def quiet_logs() -> Iterator[None]:
    """How far the work is, and warnings; not why each step is made, which a first run cannot use."""
    from flows.engines import logs_on_stderr

    steps = logging.getLogger("coder_core.pipeline")
    level = steps.level
    steps.setLevel(logging.WARNING)
    try:
        with logs_on_stderr():
            yield
    finally:
        steps.setLevel(level)


@click.command()
@wish_options
@explain_errors
def init(**wish: Any) -> None:
    """Write the config that `try` would run for FOLDER (or a manifest, or a data set by name), and run nothing."""
    first = _write(**wish)
    run = f"coder-eval run {first.path}"
    if first.spec.dataset.kind == "unlabelled":
        run = "coder-eval try, in the place of init: without labels there is nothing that `run` could measure"
    click.echo(f"wrote {first.path}. Next: coder-eval doctor {first.path}; {run}")


@click.command(name="try")
@wish_options
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@store_option
@explain_errors
def try_folder(*, yes: bool, store: str, **wish: Any) -> None:
    """Classify the images of FOLDER: one folder per class, or unsorted images and --classes names.txt.

    Instead of a folder: a manifest (.csv, .tsv, .jsonl, .parquet), or a published data set by its name (dtd).
    """
    from coder_core.config import load_runtime
    from coder_core.recipes.check import check_evaluation, checked
    from flows.cli_check import tell

    _notice_no_network()
    runtime = load_runtime(store=store)
    first = _write(**wish)
    spec = first.spec
    is_sorted = spec.dataset.kind != "unlabelled"
    looked = check_evaluation(spec, runtime, needs_labels=is_sorted)
    for fact in (*looked.facts, f"methods: {', '.join(spec.methods)}", f"config: {first.path}", _cost(spec)):
        click.echo(note_line(fact), err=True)
    tell(looked.warnings)
    raise_all(looked.problems)
    _look_first(spec, runtime)
    _ask(spec, first.path, runtime, is_agreed=yes)
    with checked(spec, looked):
        (_evaluate if is_sorted else _name)(spec, runtime)
    for command in ("doctor", "run") if is_sorted else ("doctor",):
        click.echo(f"  {program_name()} {command} {shlex.quote(str(first.path))}{_option(store)}")
    if not is_sorted:
        click.echo(f"  {program_name()} try FOLDER   (with some of them in class folders: how right is it?)")


def _option(store: str) -> str:
    return "" if store == DEFAULT_STORE else f" --store {shlex.quote(store)}"


def _notice_no_network() -> None:
    """Without a network have the hub's client answer from its cache at once; it would ask for a minute."""
    proxies = {"HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"} & {name.upper() for name in os.environ}
    if proxies or "HF_HUB_OFFLINE" in os.environ:
        return
    host = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the client is loaded, which is later


def _write(*, model: str | None, out: Path | None, force: bool, **wish: Any) -> "FirstConfig":
    from coder_core.encoders.model_names import DEFAULT_MODEL
    from coder_core.recipes.first_config import Wish, write_first_config

    first = write_first_config(Wish(model=model or DEFAULT_MODEL, **wish), out, is_forced=force)
    for note in first.notes:
        click.echo(note_line(note), err=True)
    for finding in first.mended:
        click.echo(note_line(f"{finding} So the config says (class_names)."), err=True)
    if model is None:
        line = f"no --model: {DEFAULT_MODEL}, which open_clip fetches once (605 MB); a FOLDER needs no network"
        click.echo(note_line(line), err=True)
    return first


def _cost(spec: "EvalSpec") -> str:
    if spec.texts.generator is None:
        return "cost: no language model is asked, nothing is paid"
    return "cost: what the language model charges for the calls above; asked once, kept for ever"


def _look_first(spec: "EvalSpec", runtime: "Runtime") -> None:
    """A handful of images through the encoder, before the rest and before money; the run finds them embedded."""
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.doctor import look_through_encoder
    from flows.cli_check import tell

    with quiet_logs(), inline_runner(runtime) as run:
        tell([str(finding) for finding in look_through_encoder(spec, run)])


def _ask(spec: "EvalSpec", config: Path, runtime: "Runtime", *, is_agreed: bool) -> None:
    """Money is spent by whoever says so; where every answer is held, there is none to spend.

    Raises:
        ConfigError: Nobody is there to be asked.
    """
    if spec.texts.generator is None or is_agreed:
        return
    if _is_all_held(spec, runtime):
        click.echo(note_line(f"all answers of {spec.texts.generator.model} are held: nothing is paid"), err=True)
        return
    later = f"Nothing was asked. Later: coder-eval run {config}."
    if not sys.stdin.isatty():
        raise ConfigError("a language model would be paid, and nobody can be asked.", "try", f"Add --yes. {later}")
    if not click.confirm(printable(f"Ask {spec.texts.generator.model}?"), err=True):
        click.echo(note_line(later), err=True)
        sys.exit(0)


def _is_all_held(spec: "EvalSpec", runtime: "Runtime") -> bool:
    from coder_core.recipes.text_commands import TextBankCommands

    with quiet_logs():
        return TextBankCommands(spec, runtime).is_nothing_to_ask()


def _evaluate(spec: "EvalSpec", runtime: "Runtime") -> None:
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.evaluate import evaluate
    from coder_core.report.summary import print_summary

    with quiet_logs(), inline_runner(runtime) as run:
        result = evaluate(spec, run)
    print_summary(result, sys.stdout, program=program_name())


def _name(spec: "EvalSpec", runtime: "Runtime") -> None:
    from coder_core.pipeline.context import Context
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.name_images import name_images
    from coder_core.report.prediction_table import read_named, render_named

    with quiet_logs(), inline_runner(runtime) as run:
        named = name_images(spec, run)
    rows = list(read_named(Context.open(runtime), named.table))
    click.echo(render_named(rows, "table").removesuffix("\n"))
    images = counted(named.images, "image")
    click.echo(f"{images} by {named.method}; no labels, so no accuracy; {named.broken} left out\n\nNext:")
