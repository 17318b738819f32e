"""What oneDNN computes is what torch computes, whole towers included; what it does not know is left to torch."""

import copy
import shutil
from typing import Any

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from coder_core.encoders import onednn
from coder_core.encoders.onednn import OneDnnAttention, OneDnnLinear, is_onednn_faster, linear, take_onednn

from .conftest import CONTEXT, TOWERS, model_config, random_weights

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    has_bias=st.booleans(),
    is_turned=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_linear_layer_is_the_sum_that_it_is(
    shape: list[int], sizes: tuple[int, int], has_bias: bool, is_turned: bool
) -> None:
    inner, outer = sizes
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(*shape, inner), torch.randn(outer, inner), torch.randn(outer)
    rows = rows.transpose(0, -2) if is_turned else rows
    expected = torch.einsum("...i,oi->...o", rows.double(), weight.double()) + (bias.double() if has_bias else 0.0)
    with torch.inference_mode():
        made = linear(rows, weight, bias if has_bias else None)
    assert made.shape == expected.shape
    assert torch.allclose(made.double(), expected, **CLOSE)


def attentions(**options: Any) -> tuple[nn.MultiheadAttention, nn.MultiheadAttention]:
    """Torch's own, and the same by oneDNN."""
    torch.manual_seed(1)
    plain = nn.MultiheadAttention(12, 3, **options).eval().requires_grad_(requires_grad=False)
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    return plain, take_onednn(copy.deepcopy(plain))


CAUSAL = torch.full((5, 5), float("-inf")).triu(1)
ASKED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"batch_first": True}, {"need_weights": False}),
    ({"batch_first": False}, {"need_weights": False, "attn_mask": CAUSAL}),
    ({"batch_first": True, "bias": False}, {"need_weights": False, "attn_mask": CAUSAL}),
    ({"batch_first": True}, {"need_weights": False, "attn_mask": CAUSAL, "is_causal": True}),
    ({"batch_first": True}, {"need_weights": False, "attn_mask": CAUSAL < 0}),
    ({"batch_first": True}, {"need_weights": False, "attn_mask": CAUSAL.expand(4 * 3, 5, 5)}),
    ({"batch_first": True}, {"need_weights": False, "key_padding_mask": torch.arange(20).reshape(4, 5) % 5 == 4}),
    ({"batch_first": True}, {"need_weights": True}),
    ({"batch_first": True}, {}),
    ({"batch_first": True, "add_bias_kv": True}, {"need_weights": False}),
    ({"batch_first": True, "add_zero_attn": True}, {"need_weights": False}),
]


@pytest.mark.parametrize(("made", "asked"), ASKED)
def test_attention_is_torchs_whatever_is_asked_of_it(made: dict[str, Any], asked: dict[str, Any]) -> None:
    plain, fast = attentions(**made)
    rows = torch.randn(4, 5, 12) if made["batch_first"] else torch.randn(5, 4, 12)
    with torch.inference_mode():
        expected, expected_weights = plain(rows, rows, rows, **asked)
        found, found_weights = fast(rows, rows, rows, **asked)
    assert torch.allclose(found, expected, **CLOSE)
    assert (found_weights is None) == (expected_weights is None)


def test_attention_to_something_else_is_torchs() -> None:
    plain, fast = attentions(batch_first=True)
    query, other = torch.randn(4, 2, 12), torch.randn(4, 5, 12)
    with torch.inference_mode():
        expected, _ = plain(query, other, other, need_weights=False)
        assert torch.equal(fast(query, other, other, need_weights=False)[0], expected)


def clip_of(tower: str) -> Any:
    config = model_config(tower)
    weights = random_weights(config)
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    model: Any = kind(**config)
    model.load_state_dict(weights)
    return model.eval()


@pytest.mark.parametrize("tower", sorted(set(TOWERS) - {"coca"}))
def test_a_whole_model_gives_the_same_vectors_and_keeps_its_weights(tower: str) -> None:
    model = clip_of(tower)
    fast = take_onednn(copy.deepcopy(model))
    kinds = {type(module) for module in fast.modules()}
    assert {OneDnnLinear, OneDnnAttention} <= kinds
    assert nn.Linear not in kinds
    assert all(torch.equal(held, model.state_dict()[name]) for name, held in fast.state_dict().items())
    images, texts = torch.randn(3, 3, 32, 32), torch.randint(1, 49407, (3, CONTEXT))
    texts[:, -1] = 49407
    with torch.inference_mode():
        for name, inputs in (("encode_image", images), ("encode_text", texts)):
            expected = getattr(model, name)(inputs, normalize=True)
            assert torch.allclose(getattr(fast, name)(inputs, normalize=True), expected, atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_row_depends_on_no_other_row_and_on_no_number_of_threads(precision: torch.dtype) -> None:
    fast = take_onednn(clip_of("clip")).to(precision)
    images = torch.randn(9, 3, 32, 32, dtype=precision)
    usual = torch.get_num_threads()
    with torch.inference_mode():
        expected: Tensor = fast.encode_image(images)
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            try:
                assert torch.equal(fast.encode_image(images[:4]), expected[:4])
            finally:
                torch.set_num_threads(usual)


def test_gradients_flow_as_before() -> None:
    model = clip_of("clip")
    fast = take_onednn(copy.deepcopy(model))
    images = torch.randn(2, 3, 32, 32)
    for each in (model, fast):
        each.encode_image(images).square().sum().backward()
    ours = dict(fast.named_parameters())
    assert all(
        torch.equal(ours[name].grad, held.grad) for name, held in model.named_parameters() if held.grad is not None
    )


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_what_is_compiled_is_compiled_whole() -> None:
    fast = take_onednn(clip_of("clip"))
    images = torch.randn(2, 3, 32, 32)
    torch._dynamo.reset()
    with torch.inference_mode():
        found = torch.compile(fast.visual, fullgraph=True)(images)
        assert torch.allclose(found, fast.visual(images), atol=1e-5)


def test_no_rows_are_no_error() -> None:
    layer = take_onednn(nn.Sequential(nn.Linear(3, 2)))
    with torch.inference_mode():
        assert layer(torch.empty(0, 3)).shape == (0, 2)


@pytest.mark.parametrize(
    ("maker", "units", "expected"),
    [("AuthenticAMD", "AVX512", True), ("GenuineIntel", "AVX512", False), ("AuthenticAMD", "AVX2", False)],
)
def test_it_is_taken_where_mkl_leaves_units_idle(
    maker: str, units: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "processor_maker", lambda: maker)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: units)
    assert is_onednn_faster() is expected
