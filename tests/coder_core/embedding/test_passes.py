"""Passes: how texts are cut, what happens where memory ends, how several devices share, and what the meter takes.

No accelerator is at hand, so devices are stood in for by encoders that compute on the CPU and count what they are
given; that their queue, halves and order are right does not depend on what a device is made of.
"""

import json
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coder_core.embedding.batch_sizes import CPU_IMAGES, CPU_TEXTS, DEVICE_TOKENS, FITTING, BatchSize
from coder_core.embedding.found_numbers import CACHE_VARIABLE
from coder_core.embedding.image_stream import ImageItem, embed_images
from coder_core.embedding.pass_queue import PassQueue, start_images
from coder_core.embedding.text_passes import cut_passes, embed_texts
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import DeviceError
from coder_core.pipeline.accelerator import HeldDevice
from coder_core.pipeline.context import Context
from coder_core.pipeline.pace import PaceMeter
from coder_core.specs import OpenClipEncoder, Runtime
from tests.coder_core.embedding.test_embedding import Device, FakeEncoder, picture, vector


class Busy(FakeEncoder):
    """A device that takes passes into a queue, has room for some inputs only, and fails at the result if asked to."""

    in_flight = 3

    def __init__(self, device: Device, *, room: int = 1_000, fails_late: bool = False) -> None:
        super().__init__(device)
        self.room, self.fails_late = room, fails_late
        self.waiting = 0
        self.most_waiting = 0

    def start_images(self, prepared: list[bytes]) -> Any:
        if len(prepared) > self.room and not self.fails_late:
            raise torch.OutOfMemoryError("no room")
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        return _Waiting(self, prepared)


class _Waiting:
    seconds = 0.25

    def __init__(self, device: Busy, prepared: list[bytes]) -> None:
        self._device, self._prepared = device, prepared

    def result(self) -> np.ndarray:
        self._device.waiting -= 1
        if len(self._prepared) > self._device.room:
            raise torch.OutOfMemoryError("no room")
        self._device.image_passes.append(len(self._prepared))
        return np.stack([vector(pixels) for pixels in self._prepared])


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    FITTING.forget()
    yield FITTING.file
    FITTING.forget()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context.open(Runtime(store=str(tmp_path / "store"), batch_size=8, workers=2), Device())


@pytest.fixture
def encoder() -> IdentifiedEncoder:
    spec = OpenClipEncoder(kind="open_clip", checkpoint="x")
    return IdentifiedEncoder(key="k" * 64, dim=4, label="fake", spec=spec)


def embed_on(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch, devices: list[Any], count: int
) -> list[str]:
    monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", lambda *_, **__: tuple(devices))
    found = list(embed_images(context, encoder, (ImageItem(number, picture(number)) for number in range(count))))
    assert [image.item.place for image in found] == list(range(count))
    assert all(image.problem is None for image in found)
    return [image.keys[0] for image in found]


def vectors_of(context: Context, encoder: IdentifiedEncoder, keys: list[str]) -> np.ndarray:
    from coder_core.embedding.ledgers import open_ledger

    return open_ledger(context, "image_embeddings", encoder).read(keys)


def expected(count: int) -> np.ndarray:
    from tests.coder_core.embedding.test_embedding import pixels

    return np.stack([vector(pixels(number)) for number in range(count)])


@given(
    lengths=st.lists(st.integers(0, 80), max_size=60).map(lambda found: sorted(found, reverse=True)),
    rows=st.integers(1, 20),
    tokens=st.none() | st.integers(1, 400),
)
def test_texts_are_cut_by_rows_and_tokens(lengths: list[int], rows: int, tokens: int | None) -> None:
    cuts = list(cut_passes(np.array(lengths, dtype=np.int64), rows, tokens))
    covered = [place for cut in cuts for place in range(*cut.indices(len(lengths)))]
    assert covered == list(range(len(lengths)))
    for cut in cuts:
        held = lengths[cut]
        assert 1 <= len(held) <= rows
        assert tokens is None or len(held) == 1 or len(held) * max(held) <= tokens


def test_several_passes_are_on_their_way_and_come_back_in_order(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [Busy(Device()), Busy(Device())]
    keys = embed_on(context, encoder, monkeypatch, devices, 200)
    assert np.array_equal(vectors_of(context, encoder, keys), expected(200))
    assert [len(device.image_passes) for device in devices] == [13, 12]
    assert max(device.most_waiting for device in devices) <= 3
    total = context.pace.total
    assert total is not None
    assert (total.items, total.devices, total.device_seconds) == (200, 2, 25 * 0.25)


@pytest.mark.parametrize("fails_late", [False, True])
def test_where_memory_ends_passes_are_halved_and_that_is_remembered(
    context: Context,
    encoder: IdentifiedEncoder,
    monkeypatch: pytest.MonkeyPatch,
    nothing_remembered: Path,
    fails_late: bool,
) -> None:
    device = Busy(Device(), room=3, fails_late=fails_late)
    keys = embed_on(context, encoder, monkeypatch, [device], 60)
    assert np.array_equal(vectors_of(context, encoder, keys), expected(60))
    assert max(device.image_passes) == 2
    assert list(json.loads(nothing_remembered.read_text()).values()) == [2]
    FITTING.forget()
    assert BatchSize(encoder, "cpu", "images", 8).rows == 2, "another process starts from there"
    assert BatchSize(encoder, "another device", "images", 8).rows == 8
    assert BatchSize(encoder.model_copy(update={"key": "l" * 64}), "cpu", "images", 8).rows == 8


class Full(Busy):
    """Looks, whenever a pass comes, whether what failed passes have made is still held: on a GPU, its memory."""

    def __init__(self, device: Device) -> None:
        super().__init__(device, room=3)
        self.made: list[weakref.ref[torch.Tensor]] = []
        self.held = 0

    def start_images(self, prepared: list[bytes]) -> Any:
        self.held += sum(made() is not None for made in self.made)
        activations = torch.zeros(len(prepared))
        self.made.append(weakref.ref(activations))
        return super().start_images(prepared)


def test_halves_find_the_memory_of_the_failed_pass_free(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Full(Device())
    keys = embed_on(context, encoder, monkeypatch, [device], 20)
    assert np.array_equal(vectors_of(context, encoder, keys), expected(20))
    assert len(device.made) > len(device.image_passes), "some failed"
    assert device.held == 0


def test_a_single_input_that_does_not_fit_is_a_clear_error(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeviceError, match="no memory for a single input: the image '0'"):
        embed_on(context, encoder, monkeypatch, [Busy(Device(), room=0)], 20)


def test_a_text_that_does_not_fit_is_named(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeEncoder(context.accelerator)  # type: ignore[arg-type]
    whole = model.encode_texts

    def encode(tokens: list[str], rows: np.ndarray) -> np.ndarray:
        if any(len(tokens[row]) > 1_000 for row in rows.tolist()):
            raise MemoryError
        return whole(tokens, rows)

    monkeypatch.setattr(model, "encode_texts", encode)
    monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", lambda *_, **__: (model,))
    with pytest.raises(DeviceError) as caught:
        embed_texts(context, encoder, ["short", "x" * 5_000, "also short"])
    assert f"single input: the text {'x' * 80!r}... (5000 characters)" in str(caught.value)


def test_an_image_that_cannot_be_decoded_for_lack_of_memory_is_named(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(_image: Any) -> bytes:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    device = Busy(Device())
    monkeypatch.setattr(device, "prepare_image", prepare)
    with pytest.raises(DeviceError, match="no memory to decode a single input: the image '0'"):
        embed_on(context, encoder, monkeypatch, [device], 3)


def test_another_failure_of_a_device_is_no_lack_of_memory(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Busy(Device())
    monkeypatch.setattr(device, "start_images", lambda _: (_ for _ in ()).throw(RuntimeError("bus error")))
    with pytest.raises(RuntimeError, match="bus error"):
        embed_on(context, encoder, monkeypatch, [device], 20)


def test_what_is_on_its_way_is_kept_when_the_work_is_closed(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Busy(Device())
    monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", lambda *_, **__: (device,))
    monkeypatch.setattr("coder_core.embedding.ledgers.PART_ROWS", 8)
    work = embed_images(context, encoder, (ImageItem(number, picture(number)) for number in range(400)))
    next(work)
    work.close()
    assert device.waiting == 0
    assert device.image_passes
    assert len(vectors_of(context, encoder, [])) == 0
    from coder_core.embedding.ledgers import open_ledger

    assert len(open_ledger(context, "image_embeddings", encoder).keys()) == sum(device.image_passes)


def test_the_rule_is_no_measurement(encoder: IdentifiedEncoder) -> None:
    assert BatchSize(encoder, "cpu", "images").rows == CPU_IMAGES
    assert BatchSize(encoder, "cpu", "texts").rows == CPU_TEXTS
    assert BatchSize(encoder, "cpu", "texts").tokens is None
    assert BatchSize(encoder, "some card", "texts").tokens == DEVICE_TOKENS
    assert BatchSize(encoder, "some card", "images").tokens is None
    assert BatchSize(encoder, "some card", "images", 7).rows == 7


@pytest.mark.parametrize("content", ["", "[]", "{", '{"cpu/images/kkk": "x"}', '{"cpu/images/kkk": -1}'])
def test_a_memory_that_is_none_says_nothing(encoder: IdentifiedEncoder, nothing_remembered: Path, content: str) -> None:
    nothing_remembered.parent.mkdir(parents=True)
    nothing_remembered.write_text(content.replace("kkk", encoder.key))
    assert BatchSize(encoder, "cpu", "images").rows == CPU_IMAGES


def test_a_cache_that_cannot_be_written_is_no_error(encoder: IdentifiedEncoder, nothing_remembered: Path) -> None:
    nothing_remembered.parent.parent.parent.joinpath("cache").write_text("a file, and no folder")
    size = BatchSize(encoder, "cpu", "images", 8)
    size.halve(8)
    assert size.rows == 4, "this process knows"


def test_an_encoder_that_only_embeds_is_one_pass_at_a_time(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FakeEncoder(context.accelerator)  # type: ignore[arg-type]
    monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", lambda *_, **__: (plain,))
    with HeldDevice(context.accelerator) as device:
        queue = PassQueue(context, encoder, "images", device)
        (done,) = queue.submit(["a", "b"], [b"1", b"2"], start_images)
    assert done.keys == ["a", "b"]
    assert np.array_equal(done.vectors, np.stack([vector(b"1"), vector(b"2")]))


def test_the_meter_takes_what_the_work_waits_for(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeEncoder(context.accelerator)  # type: ignore[arg-type]
    is_waited_for, waiting = threading.Event(), context.pace.waiting

    @contextmanager
    def noted(name: str) -> Iterator[None]:
        with waiting(name):
            is_waited_for.set()
            yield

    monkeypatch.setattr(context.pace, "waiting", noted)
    model.on_tokens = lambda: (is_waited_for.wait(60), threading.Event().wait(0.05))
    model.on_pass = lambda: threading.Event().wait(0.01)
    monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", lambda *_, **__: (model,))
    embed_texts(context, encoder, [f"text {number}" for number in range(40)])
    total = context.pace.total
    assert total is not None
    assert total.items == 40
    assert total.decode_seconds >= 0.04  # clocks tick
    assert total.device_seconds >= 5 * 0.008
    assert total.seconds >= total.decode_seconds + total.device_seconds
    assert total.share("device") == pytest.approx(total.device_seconds / total.seconds)


def test_a_meter_says_how_busy_the_device_is_and_what_it_waits_for_most() -> None:
    meter = PaceMeter()
    meter.add(items=40, seconds=10.0, device_seconds=12.0, devices=2, decode_seconds=3.0, write_seconds=1.0)
    assert meter.describe() == "4.0/s, device busy 60%, waits for decode 30%"
    with meter.working():
        assert meter.total is not None
        assert meter.total.seconds > 10.0  # counted while the work goes on


def test_a_meter_that_took_nothing_says_nothing() -> None:
    assert PaceMeter().total is None
    assert PaceMeter().describe() == ""


@pytest.mark.parametrize(("threads", "is_shared"), [(1, True), (8, False)])
def test_where_decoders_would_take_all_cores_a_pass_begins_when_they_have_ended(
    context: Context,
    encoder: IdentifiedEncoder,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    is_shared: bool,
) -> None:
    """The context has two decoders; what counts is how many threads the model has."""
    model = FakeEncoder(context.accelerator)  # type: ignore[arg-type]
    prepare, may_go_on, is_ninth_begun = model.prepare_image, threading.Event(), threading.Event()
    begun: list[Any] = []
    ended: list[Any] = []
    under_way: list[int] = []

    def slowly(image: Any) -> bytes:
        begun.append(image)
        if image.getpixel((0, 0))[0] >= 8:  # beyond the first pass
            is_ninth_begun.set()
            may_go_on.wait(0 if is_shared else 60)
        made = prepare(image)
        ended.append(image)
        return made

    def on_pass() -> None:
        if not is_shared:
            is_ninth_begun.wait(60)
        under_way.append(len(begun) - len(ended))
        may_go_on.set()

    monkeypatch.setattr("coder_core.embedding.pass_queue.usable_cores", lambda: 2)
    context = Context.open(context.runtime.model_copy(update={"threads": threads}), context.accelerator)
    monkeypatch.setattr(model, "prepare_image", slowly)
    model.on_pass = on_pass
    embed_on(context, encoder, monkeypatch, [model], 40)
    assert (under_way[0] > 0) != is_shared
