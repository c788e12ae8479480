"""A model in int8 says nearly what it says in full precision, by the same prompts, padding and pooling."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rag.errors import BadModel
from rag.models import embedder
from rag.settings import Settings

TEXTS = [
    "cat",
    "the dog keeps one bone in the garden",
    "milk and water",
    "how do i train the model?",
    "a",
    "birds eat seed at night",
] * 8


def cosines(one: embedder.Vectors, other: embedder.Vectors) -> np.ndarray:
    return (one * other).sum(axis=1)


def int8(settings: Settings) -> embedder.Embedder:
    return embedder.load_embedder(settings.base_model, settings, "int8")


@pytest.fixture
def settings(settings: Settings, tiny_model: Path, tmp_path: Path) -> Settings:
    """Return settings whose model says something: the tiny one's layers add so little that rounding them is nothing."""
    model = embedder.load_trainable(str(tiny_model), settings)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights *= 20 if name.endswith("weight") and "layer" in name and weights.dim() == 2 else 1
    model.save(str(tmp_path / "model"))
    return settings.model_copy(update={"base_model": str(tmp_path / "model")})


def test_int8_vectors_are_units_close_to_the_exact_ones(settings: Settings) -> None:
    exact = embedder.load_embedder(settings.base_model, settings, "fp32")
    rounded = int8(settings)
    vectors = rounded.embed_documents(TEXTS)
    assert (rounded.dim, rounded.max_tokens, rounded.precision) == (exact.dim, exact.max_tokens, "int8")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    near = cosines(vectors, exact.embed_documents(TEXTS))
    assert near.min() > 0.99
    assert (near < 1 - 1e-6).any(), "it is not rounded at all"
    assert rounded.embed_queries([]).shape == (0, exact.dim)
    assert rounded.count_tokens(["", "the cat"]) == [2, 4]


def test_what_a_text_is_padded_with_does_not_change_it(settings: Settings) -> None:
    model = int8(settings)
    alone = np.concatenate([model.embed_documents([text]) for text in TEXTS[:6]])
    together = model.embed_documents(TEXTS)[:6]  # in one batch with one of eleven tokens
    assert cosines(alone, together).min() > 0.999  # one scale rounds a batch: not equal, and nearly


def test_too_long_a_text_is_cut_where_the_exact_model_cuts_it(settings: Settings) -> None:
    exact, rounded = (embedder.load_embedder(settings.base_model, settings, each) for each in ("fp32", "int8"))
    (ours, theirs) = (model.embed_documents(["cat " * 500]) for model in (rounded, exact))
    assert cosines(ours, theirs).min() > 0.99


def test_a_prompt_is_applied_to_queries_alone(settings: Settings) -> None:
    prompted = embedder.load_trainable(settings.base_model, settings)
    prompted.prompts = {"query": "which: ", "document": ""}
    model, plain = embedder.wrap(prompted, "prompted", settings, "int8"), int8(settings)
    np.testing.assert_allclose(model.embed_queries(["cat"]), plain.embed_queries(["which: cat"]), atol=1e-6)
    np.testing.assert_allclose(model.embed_documents(["cat"]), plain.embed_documents(["cat"]), atol=1e-6)


def test_vectors_of_two_precisions_never_meet_and_what_was_learnt_is_the_same(settings: Settings) -> None:
    models = [embedder.load_embedder(settings.base_model, settings, each) for each in ("fp32", "bf16", "int8")]
    assert len({model.fingerprint for model in models}) == 3
    assert len({model.query_fingerprint for model in models}) == 1


def test_an_adapter_fits_its_model_in_every_precision(settings: Settings) -> None:
    turn = np.eye(32, dtype=np.float32)[::-1]
    exact = embedder.load_embedder(settings.base_model, settings, "fp32")
    ours, theirs = embedder.adapt(int8(settings), turn, "it"), embedder.adapt(exact, turn, "it")
    assert ours.query_fingerprint == theirs.query_fingerprint != exact.query_fingerprint
    assert (ours.precision, ours.fingerprint) == ("int8", int8(settings).fingerprint)
    assert cosines(ours.embed_queries(TEXTS), theirs.embed_queries(TEXTS)).min() > 0.98


def test_a_model_is_rewritten_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    first = int8(settings).embed_documents(TEXTS)
    monkeypatch.setattr("torch.onnx.export", None)  # not to be called
    np.testing.assert_array_equal(int8(settings).embed_documents(TEXTS), first)
    assert [path.suffix for path in sorted((settings.cache / "int8").iterdir())] == [".lock", ".onnx"]


def test_what_nobody_loaded_for_long_makes_room_for_the_next(settings: Settings, other_tiny_model: Path) -> None:
    int8(settings)
    (wanted,) = (settings.cache / "int8").glob("*.onnx")
    forgotten = wanted.with_name("forgotten.onnx")
    for path in (wanted, forgotten):
        path.touch()
        os.utime(path, (0, 0))  # long ago
    int8(settings)
    embedder.load_embedder(str(other_tiny_model), settings, "int8")
    assert wanted.exists()
    assert not forgotten.exists()


def test_a_rewriting_that_breaks_off_leaves_nothing_behind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(exact: Path, draft: Path, **options: object) -> None:
        draft.write_bytes(exact.read_bytes()[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("onnxruntime.quantization.quantize_dynamic", half)
        with pytest.raises(KeyboardInterrupt):
            int8(settings)
    assert [path.suffix for path in (settings.cache / "int8").iterdir()] == [".lock"]
    assert int8(settings).embed_documents(["cat"]).shape == (1, 32)


def test_the_model_that_was_traced_is_left_as_it_was(settings: Settings) -> None:
    """Tracing once left the encoder in training, with dropout on."""
    model = embedder.load_trainable(settings.base_model, settings)
    encoder = model[0].model
    embedder.wrap(model, "it", settings, "int8")
    assert not any(module.training for module in encoder.modules())
    assert encoder.config._attn_implementation == "sdpa"


class Frozen(torch.nn.Module):
    """An encoder whose output hangs on the number of tokens, which a trace takes for a constant."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.config, self.device = inner, inner.config, inner.device
        self.set_attn_implementation = inner.set_attn_implementation

    def forward(self, **features: torch.Tensor):
        out = self.inner(**features)
        out.last_hidden_state = out.last_hidden_state * float(features["input_ids"].shape[1])
        return out


def test_a_trace_that_holds_for_one_length_alone_is_refused(settings: Settings) -> None:
    model = embedder.load_trainable(settings.base_model, settings)
    model[0].model = Frozen(model[0].model)
    with pytest.raises(BadModel, match=r"its trace does not hold for texts of another length.*set THUMBTUNE_PRECISION"):
        embedder.wrap(model, "it", settings, "int8")
    assert not list((settings.cache / "int8").glob("*.onnx"))


def test_a_model_without_an_encoder_of_tokens_is_refused_in_one_line(settings: Settings) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW

    model = SentenceTransformer(modules=[BoW(["cat", "dog"])], device="cpu")
    from rag.models.onnx_int8 import with_int8_encoder

    with pytest.raises(BadModel, match="its first module, BoW, is no encoder of tokens"):
        with_int8_encoder(model, "weights", settings.cache / "int8")


def test_a_home_that_cannot_be_written_is_said(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadModel, match=r"the int8 model cannot be written or read.*make room"):
        int8(settings.model_copy(update={"home": tmp_path / "file"}))


def test_sums_of_int8_products_do_not_saturate(tmp_path: Path) -> None:
    """The largest weights and activations: in 16 bits 255 * 127 + 255 * 127 would be cut to about half."""
    from onnx import TensorProto, helper, numpy_helper, save

    from rag.models.onnx_embedder import open_session

    wide = np.full((64, 32), 127, np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            helper.make_node("MatMulInteger", ["q", "w", "zero"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["cast", "scale"], ["y"]),
        ],
        "saturation",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 32])],
        [numpy_helper.from_array(wide, "w")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "it.onnx")
    (sums,) = open_session(tmp_path / "it.onnx").run(None, {"x": np.ones((2, 64), np.float32)})
    np.testing.assert_allclose(sums, np.full((2, 32), 64 * 127), rtol=1e-4)
