"""The embedding service: how many passes it makes, what it reads, what it keeps, and when it holds the device."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coder_core.embedding import image_stream as images_module
from coder_core.embedding.image_stream import EmbeddedImage, ImageItem, embed_images, view_key
from coder_core.embedding.ledgers import PART_ROWS, VectorBuffer, open_ledger, text_key
from coder_core.embedding.text_passes import embed_texts, text_vectors
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import InputError, StoreError
from coder_core.fingerprint import content_hash
from coder_core.interruption import InterruptedWorkError, interruptible
from coder_core.pipeline.context import Context
from coder_core.specs import OpenClipEncoder, Runtime
from coder_core.storage import packed_images, read_rounds

DIM = 4


class Device:
    """An accelerator that knows whether it is held."""

    def __init__(self) -> None:
        self.is_held = False
        self.taken = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        self.is_held, self.taken = True, self.taken + 1
        yield
        self.is_held = False


class FakeEncoder:
    """A model of a few lines: a vector is made of the hash of what is embedded."""

    context_length = 77

    def __init__(self, device: Device) -> None:
        self._device = device
        self.text_passes: list[list[str]] = []
        self.image_passes: list[int] = []
        self.on_pass: Callable[[], object] = lambda: None
        self.on_tokens: Callable[[], object] = lambda: None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def tokenize(self, texts: Sequence[str]) -> list[str]:
        self.on_tokens()
        return list(texts)

    def text_lengths(self, tokens: list[str]) -> np.ndarray:
        return np.array([len(text) for text in tokens])

    def encode_texts(self, tokens: list[str], rows: np.ndarray) -> np.ndarray:
        assert self._device.is_held
        self.on_pass()
        chosen = [tokens[row] for row in rows.tolist()]
        self.text_passes.append(chosen)
        return np.stack([vector(text.encode()) for text in chosen])

    def prepare_image(self, image: Image.Image) -> bytes:
        return image.tobytes()

    def encode_images(self, prepared: Sequence[bytes]) -> np.ndarray:
        assert self._device.is_held
        self.on_pass()
        self.image_passes.append(len(prepared))
        return np.stack([vector(pixels) for pixels in prepared])


def vector(content: bytes) -> np.ndarray:
    numbers = np.frombuffer(hashlib.sha256(content).digest()[: 4 * DIM], dtype=np.uint32).astype(np.float32)
    return numbers / np.linalg.norm(numbers)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def model(device: Device, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    fake = FakeEncoder(device)
    monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", lambda *_, **__: (fake,))
    return fake


@pytest.fixture
def context(tmp_path: Path, device: Device) -> Context:
    return Context.open(Runtime(store=str(tmp_path / "store"), batch_size=8, workers=3), device)


@pytest.fixture
def encoder() -> IdentifiedEncoder:
    return IdentifiedEncoder(
        key="k" * 64, dim=DIM, label="fake", spec=OpenClipEncoder(kind="open_clip", checkpoint="x")
    )


def picture(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (2, 2), (number % 256, number // 256, 7)).save(file, "PNG")
    return file.getvalue()


def items(count: int) -> list[ImageItem]:
    return [ImageItem(number, picture(number)) for number in range(count)]


def pixels(number: int) -> bytes:
    return Image.open(BytesIO(picture(number))).convert("RGB").tobytes()


def test_texts_make_full_passes_and_one_part(context: Context, encoder: IdentifiedEncoder, model: FakeEncoder) -> None:
    texts = ["x" * (1 + number % 30) + str(number) for number in range(203)]
    embedded = embed_texts(context, encoder, texts)
    assert embedded.computed == 203
    assert len(model.text_passes) == -(-203 // 8)
    assert all(len(batch) == 8 for batch in model.text_passes[:-1])
    assert embedded.keys == [text_key(text) for text in texts]
    assert len(context.artifacts.store.list("ledgers/text_embeddings")) == 1
    expected = np.stack([vector(text.encode()) for text in texts])
    np.testing.assert_array_equal(text_vectors(context, encoder, texts), expected)
    assert len(model.text_passes) == 26, "what the ledger holds is not embedded again"


def test_texts_of_a_pass_are_of_like_length(context: Context, encoder: IdentifiedEncoder, model: FakeEncoder) -> None:
    embed_texts(context, encoder, ["x" * (1 + number) for number in range(64)][::-1])
    assert [max(map(len, batch)) - min(map(len, batch)) for batch in model.text_passes] == [7] * 8


def test_equal_texts_are_embedded_once(context: Context, encoder: IdentifiedEncoder, model: FakeEncoder) -> None:
    assert embed_texts(context, encoder, ["a", "b", "a", "a"]).computed == 2
    assert sum(map(len, model.text_passes)) == 2


def test_images_make_full_passes_and_one_part(context: Context, encoder: IdentifiedEncoder, model: FakeEncoder) -> None:
    found = list(embed_images(context, encoder, items(100)))
    assert model.image_passes == [8] * 12 + [4]
    assert [image.item.place for image in found] == list(range(100))
    assert sum(image.computed for image in found) == 100
    assert len(context.artifacts.store.list("ledgers/image_embeddings")) == 1
    vectors = open_ledger(context, "image_embeddings", encoder).read([image.keys[0] for image in found])
    np.testing.assert_array_equal(vectors, np.stack([vector(pixels(number)) for number in range(100)]))
    again = list(embed_images(context, encoder, items(101)))
    assert model.image_passes[13:] == [1]
    assert [image.computed for image in again] == [0] * 100 + [1]


def test_the_same_image_is_embedded_once_and_broken_ones_are_named(
    context: Context, encoder: IdentifiedEncoder, model: FakeEncoder
) -> None:
    contents = [picture(1), b"no image", picture(1), b"", picture(2), b"no image"]
    found = list(embed_images(context, encoder, (ImageItem(place, c) for place, c in enumerate(contents))))
    assert model.image_passes == [2]
    assert [image.problem is None for image in found] == [True, False, True, False, True, False]
    assert found[0].keys == found[2].keys == (content_hash(picture(1)),)
    assert found[3].problem == "the file is empty"


def test_ten_views_of_every_image_fill_passes_across_images(
    context: Context, encoder: IdentifiedEncoder, model: FakeEncoder
) -> None:
    """16 shots of 3 classes took 48 passes and 48 ledger parts when each image had its own."""
    asked = [ImageItem(number, picture(number), views=10) for number in range(48)]
    found = list(embed_images(context, encoder, asked))
    assert len(model.image_passes) == 480 // 8
    assert len(context.artifacts.store.list("ledgers/image_embeddings")) == 1
    assert found[5].keys == tuple(view_key(content_hash(picture(5)), view) for view in range(10))


@pytest.mark.usefixtures("model")
def test_an_image_is_handed_on_only_when_its_vector_is_in_the_ledger(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coder_core.embedding.ledgers.PART_ROWS", 20)
    for image in embed_images(context, encoder, items(90)):
        assert open_ledger(context, "image_embeddings", encoder).missing(list(image.keys)) == []
    assert len(context.artifacts.store.list("ledgers/image_embeddings")) == 4  # 24 + 24 + 24 + 18
    assert PART_ROWS == 32_768


@pytest.mark.parametrize("ending", ["close", "exception", "interruption"])
def test_what_was_embedded_is_kept_however_the_work_ends(
    context: Context, encoder: IdentifiedEncoder, model: FakeEncoder, ending: str
) -> None:
    with interruptible() as stop:

        def on_pass() -> None:
            if len(model.image_passes) == 2:
                if ending == "exception":
                    raise KeyboardInterrupt
                if ending == "interruption":
                    stop.set()

        model.on_pass = on_pass
        work = embed_images(context, encoder, items(400))
        if ending == "close":
            next(iter(_slices(work)))
            work.close()
        else:
            with pytest.raises(KeyboardInterrupt if ending == "exception" else InterruptedWorkError):
                list(work)
    kept = len(open_ledger(context, "image_embeddings", encoder).keys())
    assert kept >= 16


def _slices(work: Iterator[EmbeddedImage]) -> Iterator[EmbeddedImage]:
    yield next(work)


def test_the_device_is_held_around_forward_passes_only(
    context: Context, encoder: IdentifiedEncoder, model: FakeEncoder, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading is slow: while an image is awaited, nobody holds the device."""
    is_read = threading.Semaphore(0)
    held_while_waiting: list[bool] = []

    def slow(item: ImageItem) -> Any:
        assert is_read.acquire(timeout=10)
        return read(item)

    read = images_module._read_image
    monkeypatch.setattr(images_module, "_read_image", slow)

    def release_one() -> None:
        for _ in range(40):
            held_while_waiting.append(device.is_held)
            is_read.release()
            threading.Event().wait(0.005)

    thread = threading.Thread(target=release_one)
    thread.start()
    list(embed_images(context, encoder, items(40)))
    thread.join()
    assert len(model.image_passes) == 5
    assert held_while_waiting.count(True) <= 5
    assert not device.is_held


def test_an_object_store_is_read_ahead_while_the_model_computes(
    context: Context, encoder: IdentifiedEncoder, model: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pass waits until an image six passes further on has been asked for."""
    is_asked_for = threading.Event()

    def asked(location: str) -> bytes:
        number = int(location.rpartition("/")[2])
        if number == 50:
            is_asked_for.set()
        return picture(number)

    def compute() -> None:
        assert is_asked_for.wait(60)

    monkeypatch.setattr(packed_images, "_read_file", asked)
    model.on_pass = compute
    found = list(embed_images(context, encoder, [ImageItem(n, f"s3://bucket/{n}") for n in range(100)]))
    assert [image.problem for image in found] == [None] * 100


@pytest.mark.slow
def test_a_ready_batch_does_not_take_the_device_again(
    context: Context, encoder: IdentifiedEncoder, model: FakeEncoder, device: Device
) -> None:
    model.on_tokens = lambda: threading.Event().wait(0.2)
    embed_texts(context, encoder, [f"text {number}" for number in range(400)])
    assert len(model.text_passes) == 50
    assert device.taken == 4, "once for every 16 passes: who waits for tokens gives the device back"


def test_a_read_that_fails_at_random_is_tried_again_and_a_file_that_is_gone_is_not(
    context: Context, encoder: IdentifiedEncoder, model: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.image_passes == []
    asked: dict[str, int] = {}

    def read_flaky(location: str) -> bytes:
        asked[location] = asked.get(location, 0) + 1
        if location == "gone":
            raise InputError("missing") from FileNotFoundError(location)
        if location == "dead" or (location == "flaky" and asked[location] < 3):
            raise InputError("reset by peer") from ConnectionResetError()
        return picture(len(location))

    monkeypatch.setattr(packed_images, "_read_file", read_flaky)
    monkeypatch.setattr(read_rounds, "PAUSES", (0.0, 0.0, 0.0))
    found = list(
        embed_images(context, encoder, [ImageItem(name, name) for name in ("flaky", "gone", "dead", "good!!")])
    )
    assert [image.problem for image in found] == [
        None,
        "it cannot be read: missing",
        "it cannot be read: reset by peer",
        None,
    ]
    assert asked == {"flaky": 3, "gone": 1, "dead": 4, "good!!": 1}
    assert [image.content_key is None for image in found] == [False, True, True, False]


def test_a_buffer_writes_when_it_is_full_or_old(
    context: Context, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(context, "text_embeddings", encoder)
    monkeypatch.setattr("coder_core.embedding.ledgers.PART_BYTES", 4 * DIM * 3)
    with VectorBuffer(ledger, context.pace) as buffer:
        one = np.ones((1, DIM), dtype=np.float32)
        for number in range(4):
            buffer.add([f"{number}"], one)
        buffer._wait()
        assert sorted(ledger.keys()) == ["0", "1", "2"]
        monkeypatch.setattr("coder_core.embedding.ledgers.PART_SECONDS", -1.0)
        buffer.add(["old"], one)
        buffer._wait()
        assert sorted(ledger.keys()) == ["0", "1", "2", "3", "old"]
        monkeypatch.setattr("coder_core.embedding.ledgers.PART_SECONDS", 60.0)
        buffer.add(["last"], one)
    assert sorted(ledger.keys()) == ["0", "1", "2", "3", "last", "old"]


def test_a_part_that_cannot_be_written_is_told(context: Context, encoder: IdentifiedEncoder) -> None:
    ledger = open_ledger(context, "text_embeddings", encoder)
    with pytest.raises(StoreError, match="NaN"), VectorBuffer(ledger, context.pace) as buffer:
        buffer.add(["x"], np.full((1, DIM), np.nan, dtype=np.float32))


def test_a_ledger_is_opened_once_per_process(context: Context, encoder: IdentifiedEncoder) -> None:
    assert open_ledger(context, "image_embeddings", encoder) is open_ledger(
        Context.open(context.runtime), "image_embeddings", encoder
    )


@pytest.mark.slow
def test_texts_of_two_runs_at_once_make_one_pass_each(
    tmp_path: Path, encoder: IdentifiedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs with models of their own, half of whose texts are the same: each text is embedded by one of them."""
    passes, start = Barrier(2), Barrier(2)
    models: dict[int, FakeEncoder] = {}

    def load(*_: object, **__: object) -> tuple[FakeEncoder]:
        device = Device()
        device.is_held = True
        model = models[threading.get_ident()] = FakeEncoder(device)
        model.on_pass = lambda: passes.wait(20) if not model.text_passes else None  # both are at work at once
        return (model,)

    monkeypatch.setattr("coder_core.embedding.pass_queue.load_on_devices", load)
    spans = (range(40), range(20, 60))

    def embed(span: range) -> tuple[int, list[str]]:
        own = Context.open(Runtime(store=str(tmp_path / "store"), batch_size=8))
        start.wait(20)
        embedded = embed_texts(own, encoder, [f"text {number}" for number in span])
        return embedded.computed, embedded.keys

    with ThreadPoolExecutor(2) as threads:
        (first, keys), (second, others) = threads.map(embed, spans)
    embedded = [text for model in models.values() for batch in model.text_passes for text in batch]
    assert sorted(embedded) == sorted(f"text {number}" for number in range(60))
    assert sorted((first, second)) == [20, 40]
    assert keys[20:] == others[:20]
