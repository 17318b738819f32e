"""Threads per pass on the CPU: which are tried, which is kept, who may overrule it, and what becomes of vectors.

How fast a count is is told by a clock of the test's own, so that no test depends on how busy the machine is.
"""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coder_core import cores
from coder_core.cores import physical_cores, processor_maker, processor_name, usable_cores
from coder_core.embedding import thread_counts
from coder_core.embedding.found_numbers import CACHE_VARIABLE
from coder_core.embedding.image_stream import ImageItem, embed_images
from coder_core.embedding.ledgers import open_ledger
from coder_core.embedding.text_passes import embed_texts
from coder_core.embedding.thread_counts import FASTEST, TORCH, WORTH, _Trials, counts_to_try, most_threads
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import identify_encoder
from coder_core.pipeline.context import Context
from coder_core.specs import OpenClipEncoder, Runtime
from tests.coder_core.embedding.test_embedding import Device, FakeEncoder, picture

CORES, PHYSICAL = 8, 4
RATES = {8: 100.0, 6: 130.0, 5: 120.0, 4: 110.0, 2: 50.0, 1: 25.0}
TRIED = (4, 8, 6, 4, 1)
"""With two decoders: the usual count, of which no rate is taken yet; then all cores, those that decoders leave, the
physical ones, which are half, and one."""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of eight cores, four of them physical, where nobody has chosen and nothing is remembered."""
    before = torch.get_num_threads()
    for name in thread_counts.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(thread_counts, "usable_cores", lambda: CORES)
    monkeypatch.setattr(thread_counts, "physical_cores", lambda: PHYSICAL)
    monkeypatch.setattr(cores.os, "getloadavg", lambda: (float(os.cpu_count() or 1), 0.0, 0.0))
    torch.set_num_threads(PHYSICAL)
    monkeypatch.setattr(TORCH, "_usual", None)
    FASTEST.forget()
    yield
    assert torch.get_num_threads() == PHYSICAL, "torch has its own number again"
    torch.set_num_threads(before)
    FASTEST.forget()


@pytest.fixture
def encoder() -> IdentifiedEncoder:
    spec = OpenClipEncoder(kind="open_clip", checkpoint="x")
    return IdentifiedEncoder(key="k" * 64, dim=4, label="fake", spec=spec)


class Timed(FakeEncoder):
    """A model whose passes take as long as the rate of its threads says."""

    def __init__(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(device)
        self.counts: list[int] = []
        self.now = 0.0
        self.on_pass = self._compute
        monkeypatch.setattr(thread_counts, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", lambda *_, **__: (self,))

    def _compute(self) -> None:
        self.counts.append(torch.get_num_threads())
        self.now += 8 / RATES[self.counts[-1]]


Embed = Callable[..., list[int]]


@pytest.fixture
def embed(tmp_path: Path, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch) -> Embed:
    """Embeds images into a fresh store, eight a pass, and says how many threads each pass had."""
    stores = iter(range(100))

    def run(passes: int = 20, *, key: str = encoder.key, **settings: Any) -> list[int]:
        store = str(tmp_path / f"store{next(stores)}")
        context = Context.open(Runtime(store=store, batch_size=8, **{"workers": 2, **settings}), Device())
        model = Timed(context.accelerator, monkeypatch)  # type: ignore[arg-type]
        items = (ImageItem(number, picture(number)) for number in range(8 * passes))
        named = encoder.model_copy(update={"key": key})
        assert all(found.problem is None for found in embed_images(context, named, items))
        return model.counts

    return run


def test_the_fastest_count_of_the_first_passes_is_kept_and_remembered(
    embed: Embed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "coder_core"):
        counts = embed()
    assert tuple(counts[:5]) == TRIED
    assert counts[5:7] == [6, 4], "what reaches less than 0.8 of 130 is not tried again"
    assert set(counts[7:]) == {6}
    (line,) = [r.getMessage() for r in caplog.records if r.name == thread_counts.__name__]
    assert line.startswith(
        "threads of a pass over images on this CPU: 6 (images a second: 100.0 with 8, 130.0 with 6, "
    )
    assert str(FASTEST.file) in line
    ((place, count),) = json.loads(FASTEST.file.read_text()).items()
    assert (count, place.split("/")[-2:]) == (6, ["images", "k" * 64])
    FASTEST.forget()
    assert set(embed(3)) == {6}, "another process begins with it"
    assert embed(3, workers=3) != [6, 6, 6], "other decoders take other cores"


@pytest.mark.parametrize("settings", [{"key": "l" * 64}, {"task_runner": "dask"}, {}])
def test_another_encoder_machine_or_runner_finds_out_for_itself(
    embed: Embed, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    embed()
    if not settings:
        monkeypatch.setattr(thread_counts, "usable_cores", lambda: 4)
    assert len(set(embed(4, **settings))) > 1


def test_whoever_has_chosen_is_not_overruled(embed: Embed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(embed(threads=2)) == {2}
    assert set(embed(compile_mode="default")) == {PHYSICAL}, "another count would be compiled anew"
    monkeypatch.setenv("OMP_NUM_THREADS", "4")  # as a Dask or Ray worker has it, which shares the machine
    assert set(embed()) == {PHYSICAL}
    assert not FASTEST.file.exists()
    monkeypatch.setattr(TORCH, "heeds_environment", False)  # as in a worker of a local Ray cluster, where nobody chose
    assert tuple(embed()[:5]) == TRIED


def test_what_is_found_while_others_keep_the_machine_busy_is_not_remembered(
    embed: Embed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cores.os, "getloadavg", lambda: ((os.cpu_count() or 1) + 2.1, 0.0, 0.0))
    with caplog.at_level(logging.INFO, "coder_core"):
        assert embed()[-1] == 6
    assert "for this process alone, as others keep the machine busy" in caplog.text
    assert not FASTEST.file.exists()
    assert set(embed(3)) == {6}


def test_a_work_of_few_passes_decides_nothing(embed: Embed) -> None:
    assert embed(3) == list(TRIED[:3])
    assert not FASTEST.file.exists()


def test_passes_of_texts_are_compared_by_their_tokens(
    tmp_path: Path, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has texts of half the length of the one before: by texts alone, every count would beat the one before it."""
    context = Context.open(Runtime(store=str(tmp_path / "store"), batch_size=8), Device())
    model = Timed(context.accelerator, monkeypatch)  # type: ignore[arg-type]

    rates = {8: 130.0, 4: 120.0, 1: 25.0}

    def encode(tokens: list[str], rows: np.ndarray) -> np.ndarray:
        model.counts.append(torch.get_num_threads())
        model.now += sum(len(tokens[row]) for row in rows.tolist()) / rates[model.counts[-1]]
        return FakeEncoder.encode_texts(model, tokens, rows)

    model.on_pass = lambda: None
    monkeypatch.setattr(model, "encode_texts", encode)
    embed_texts(context, encoder, [f"{number:03d}" + "x" * (4000 >> number // 8) for number in range(128)])
    assert model.counts[:6] == [4, 8, 4, 1, 8, 4]
    assert set(model.counts[6:]) == {8}


rates_up_and_down = st.builds(
    lambda up, down: sorted(up) + sorted(down, reverse=True),
    st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=4),
    st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=4),
)


@given(rates=rates_up_and_down, usual=st.integers(0, 6))
def test_trials_end_with_the_fastest_count_or_the_usual_one_where_that_is_as_good(
    rates: list[float], usual: int
) -> None:
    """Where fewer threads are slower once they are slower, the best of all is found, by one pass or two of each."""
    counts = list(range(len(rates), 0, -1))
    rate_of = dict(zip(counts, rates, strict=True))
    trials = _Trials(counts, usual=counts[usual % len(counts)])
    passes = 0
    while trials.fastest is None:
        trials.note(rate_of[trials.count])
        passes += 1
    assert passes <= 1 + 2 * len(counts)
    best, kept = max(rates), rate_of[trials.fastest]
    assert kept == best or (trials.fastest == counts[usual % len(counts)] and best < WORTH * kept)


def test_counts_are_never_more_than_the_cores_and_all_kinds_are_among_them() -> None:
    assert counts_to_try(8, usual=4, decoders=2) == (8, 6, 4, 1)
    assert counts_to_try(2, usual=2, decoders=2) == (2, 1)
    assert counts_to_try(1, usual=1, decoders=2) == (1,)
    assert counts_to_try(3, usual=3, decoders=0) == (3, 1)


def test_torch_may_have_been_given_fewer_threads_than_cores() -> None:
    assert most_threads(PHYSICAL) == CORES, "nobody has: it has the physical cores"
    assert most_threads(2) == 2
    assert most_threads(64) == CORES, "it does not know of the container's quota"


def test_a_thread_that_begins_during_a_pass_has_torchs_own_number_later() -> None:
    found: list[int] = []
    has_begun, has_ended = threading.Event(), threading.Event()

    def work() -> None:
        torch.ones(8).sum()
        found.append(torch.get_num_threads())
        has_begun.set()
        has_ended.wait(60)
        found.append(TORCH.usual)
        with TORCH.set_to(3):
            pass
        found.append(torch.get_num_threads())

    assert TORCH.usual == PHYSICAL
    with TORCH.set_to(2):
        thread = threading.Thread(target=work)
        thread.start()
        has_begun.wait(60)
    has_ended.set()
    thread.join()
    assert found == [2, PHYSICAL, PHYSICAL]


@pytest.mark.slow
def test_vectors_differ_by_rounding_at_most(tmp_path: Path, tiny_clip: Path) -> None:
    """Images and texts of a real model, with counts on trial and with one, two and three threads."""
    encoder = identify_encoder(OpenClipEncoder(kind="open_clip", checkpoint=str(tiny_clip)))
    texts = [f"a photo of {'very ' * (number % 7)}{number}" for number in range(60)]
    made = []
    for threads in (None, 1, 2, 3):
        context = Context.open(Runtime(store=str(tmp_path / f"store{threads}"), batch_size=4, threads=threads))
        found = embed_images(context, encoder, [ImageItem(number, picture(number)) for number in range(60)])
        images = open_ledger(context, "image_embeddings", encoder).read([image.keys[0] for image in list(found)])
        keys = embed_texts(context, encoder, texts).keys
        made.append(np.concatenate([images, open_ledger(context, "text_embeddings", encoder).read(keys)]))
    assert len(json.loads(FASTEST.file.read_text())) == 2, "one for images, one for texts"
    for other in made[1:]:
        np.testing.assert_allclose(made[0], other, atol=1e-6)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("expected", "files"),
    [
        (8, {}),
        (8, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}),
        (2, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}),
        (1, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}),
        (3, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}),
        (4, {"proc/self/cgroup": "0::/seen/from/outside\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}),
        (
            5,
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "500000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
        ),
        (
            8,
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
        ),
    ],
)
def test_the_quota_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: int, files: dict[str, str]
) -> None:
    monkeypatch.setattr(cores, "_allowed", lambda: set(range(8)))
    assert usable_cores(write(tmp_path, files)) == expected


def test_two_threads_of_a_core_are_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_allowed", lambda: set(range(4)))
    siblings = {
        f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}\n" for n in range(4)
    }
    info = {"proc/cpuinfo": "processor\t: 0\nvendor_id\t: AMaker\nmodel name\t: A  Fast CPU\n"}
    root = write(tmp_path, {**siblings, **info})
    assert physical_cores(root) == 2
    assert processor_name(root) == "A Fast CPU"
    assert physical_cores(tmp_path / "nowhere") is None
    assert processor_name(tmp_path / "nowhere")
    assert processor_maker(root) == "AMaker"
    assert processor_maker(tmp_path / "nowhere") == ""
