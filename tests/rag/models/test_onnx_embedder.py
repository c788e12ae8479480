"""A model that was exported gives the vectors and the rankings of sentence-transformers, and needs no torch for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rag.errors import BadModel
from rag.models import embedder
from rag.models.onnx_embedder import description, read_pipeline
from rag.models.precision import Precision
from rag.models.registry import ENTRY_FILE
from rag.settings import ROOT, Settings

DOCUMENTS = [
    "A thumb up credits the passages that an answer cites.",
    "  The cat drinks warm milk at night. \n\n It sleeps by day. ",
    "",
    "Vektoren, Straße, naïve café; 北京 is a city. 😀",
    "one two three " * 200,  # longer than any model here reads
    "| a | table | of | words |",
]
QUERIES = ["What does a thumb up do?", "when do cats drink milk", "Beijing", "numbers"]
LOADS_WITHOUT_TORCH = """
import sys
from pathlib import Path
from rag.models.embedder import load_embedder
from rag.settings import Settings
settings = Settings(home=Path(sys.argv[1]), base_model=sys.argv[2], start_model=sys.argv[2], device="cpu")
model = load_embedder(sys.argv[2], settings, sys.argv[3])
model.embed_queries(["cat"]), model.count_tokens(["cat"])
if sys.argv[3] != "bf16":
    model.embed_documents(["cat"])
heavy = {"torch", "sentence_transformers", "transformers", "scipy", "lancedb"} & set(sys.modules)
sys.exit(f"{heavy} was imported" if heavy else 0)
"""


@pytest.fixture
def shared_exports(tmp_path: Path) -> Path:
    """Return a folder for this test alone: exporting is what is tested here."""
    folder = tmp_path / "exports"
    folder.mkdir()
    return folder


def loaded(reference: str, settings: Settings, precision: Precision) -> tuple[embedder.Embedder, embedder.Embedder]:
    """Return a model as sentence-transformers serves it, and as it is served once it was exported."""
    theirs = embedder.wrap(embedder.load_trainable(reference, settings), reference, settings, precision)
    embedder.load_embedder(reference, settings, precision)
    return theirs, embedder.load_embedder(reference, settings, precision)


@pytest.mark.parametrize("builtin", [True, False])
def test_exported_vectors_and_rankings_are_those_of_sentence_transformers(settings: Settings, *, builtin: bool) -> None:
    theirs, ours = loaded("builtin" if builtin else settings.base_model, settings, "fp32")
    assert type(ours) is not type(theirs)
    np.testing.assert_allclose(ours.embed_documents(DOCUMENTS), theirs.embed_documents(DOCUMENTS), atol=1e-5)
    np.testing.assert_allclose(ours.embed_queries(QUERIES), theirs.embed_queries(QUERIES), atol=1e-5)
    assert ours.count_tokens(DOCUMENTS) == theirs.count_tokens(DOCUMENTS)
    assert (ours.dim, ours.max_tokens, ours.precision) == (theirs.dim, theirs.max_tokens, theirs.precision)
    assert (ours.fingerprint, ours.query_fingerprint) == (theirs.fingerprint, theirs.query_fingerprint)
    rankings = [np.argsort(-each.embed_queries(QUERIES) @ each.embed_documents(DOCUMENTS).T) for each in (ours, theirs)]
    np.testing.assert_array_equal(*rankings)
    for _ in range(2):  # the second time it is remembered, and nobody can change what is
        remembered = ours.embed_queries(QUERIES[:1])
        np.testing.assert_allclose(remembered, theirs.embed_queries(QUERIES[:1]), atol=1e-5)
        remembered[:] = 0


def test_int8_vectors_are_the_same_with_and_without_torch(settings: Settings) -> None:
    theirs, ours = loaded(settings.base_model, settings, "int8")
    np.testing.assert_allclose(ours.embed_documents(DOCUMENTS), theirs.embed_documents(DOCUMENTS), atol=1e-5)
    assert ours.fingerprint == theirs.fingerprint


def test_bf16_tables_are_searched_by_queries_in_fp32_as_near_as_rounding(settings: Settings) -> None:
    theirs, ours = loaded(settings.base_model, settings, "bf16")
    assert (ours.fingerprint, ours.precision) == (theirs.fingerprint, "bf16")
    np.testing.assert_array_equal(ours.embed_documents(DOCUMENTS), theirs.embed_documents(DOCUMENTS))
    assert (ours.embed_queries(QUERIES) * theirs.embed_queries(QUERIES)).sum(axis=1).min() > 0.999
    exact = embedder.load_embedder(settings.base_model, settings, "fp32")
    np.testing.assert_array_equal(ours.embed_queries(QUERIES), exact.embed_queries(QUERIES))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_second_process_loads_no_torch(settings: Settings, precision: Precision) -> None:
    embedder.load_embedder(settings.base_model, settings, precision)
    given = [str(settings.home), settings.base_model, precision]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", LOADS_WITHOUT_TORCH, *given], check=True, env=environment)


def test_prompts_and_dimensions_are_exported(settings: Settings, tmp_path: Path) -> None:
    model = embedder.load_trainable(settings.base_model, settings)
    model.prompts, model.truncate_dim = {"query": "which: ", "passage": "the: "}, 16
    model.save(str(tmp_path / "prompted"))
    theirs, ours = loaded(str(tmp_path / "prompted"), settings, "fp32")
    assert ours.dim == theirs.dim == 16
    np.testing.assert_allclose(ours.embed_queries(QUERIES), theirs.embed_queries(QUERIES), atol=1e-5)
    np.testing.assert_allclose(ours.embed_documents(DOCUMENTS), theirs.embed_documents(DOCUMENTS), atol=1e-5)


def test_a_model_of_another_kind_is_served_by_torch_and_tried_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense

    model = embedder.load_trainable(settings.base_model, settings)
    model.append(Dense(32, 8))
    model.save(str(tmp_path / "dense"))
    theirs, ours = loaded(str(tmp_path / "dense"), settings, "fp32")
    assert type(ours) is type(theirs)
    known = read_pipeline(settings.cache, tmp_path / "dense")
    assert known is not None
    assert "Dense" in known.refused
    monkeypatch.setattr("rag.models.onnx_export.export", None)  # not to be called
    assert embedder.load_embedder(str(tmp_path / "dense"), settings, "fp32").dim == 8


def test_other_weights_in_the_same_folder_are_exported_again(
    settings: Settings, tiny_model: Path, other_tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = embedder.load_embedder(str(folder), settings, "fp32")
    shutil.copytree(other_tiny_model, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    after = embedder.load_embedder(str(folder), settings, "fp32")
    assert before.fingerprint != after.fingerprint
    assert np.abs(before.embed_queries(QUERIES) - after.embed_queries(QUERIES)).max() > 0.01


def test_a_torn_description_is_made_again(settings: Settings) -> None:
    embedder.load_embedder(settings.base_model, settings, "fp32")
    path = description(settings.cache, Path(settings.base_model))
    path.write_text("{")
    assert embedder.load_embedder(settings.base_model, settings, "fp32").dim == 32
    assert read_pipeline(settings.cache, Path(settings.base_model)) is not None


def test_the_card_and_the_entry_of_a_version_do_not_undo_its_export(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "v1"
    shutil.copytree(tiny_model, folder)
    embedder.load_embedder(str(folder), settings, "fp32")
    for name in ("README.md", ENTRY_FILE):
        (folder / name).write_text("{}")
    assert read_pipeline(settings.cache, folder) is not None
    (folder / "config.json").touch()
    assert read_pipeline(settings.cache, folder) is None


def test_a_damaged_encoder_leaves_a_model_to_torch_and_says_so(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    embedder.load_embedder(settings.base_model, settings, "fp32")
    description(settings.cache, Path(settings.base_model)).unlink()
    (encoder,) = (settings.cache / "onnx").glob("*.onnx")
    encoder.unlink()
    encoder.write_bytes(b"torn")
    assert embedder.load_embedder(settings.base_model, settings, "fp32").embed_queries(["cat"]).shape == (1, 32)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{settings.base_model} is served by torch: its export {encoder}: cannot be opened")


def test_a_broken_encoder_names_its_file_and_what_to_do(settings: Settings) -> None:
    embedder.load_embedder(settings.base_model, settings, "fp32")
    (encoder,) = (settings.cache / "onnx").glob("*.onnx")
    encoder.unlink()
    encoder.write_bytes(b"torn")
    with pytest.raises(BadModel, match=rf"{encoder}: cannot be opened.*delete it, it is made again"):
        embedder.load_embedder(settings.base_model, settings, "fp32").embed_queries(["cat"])
    encoder.unlink()
    assert embedder.load_embedder(settings.base_model, settings, "fp32").embed_queries(["cat"]).shape == (1, 32)
