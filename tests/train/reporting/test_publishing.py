"""A version goes out and in: plain sentence-transformers loads it, with the same vectors, and nothing private."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fakes import NOON
from rag.models.embedder import load_embedder
from rag.models.registry import Registry, Version
from rag.models.weights import OWN, read_dense_weight, write_dense_weight
from rag.settings import Settings
from thumbtune.__main__ import main
from train.dataset.earlier_versions import HELD_OUT, PAIRS
from train.reporting.portable import make_portable
from train.tuning import query_adapter

TEXTS = ["the cat drinks warm milk", "a bone in the garden"]
CARD = f"---\ntags:\n- thumbtune\n---\n\n# v1\n\n- `{PAIRS}` next to this card holds the questions.\n- The end.\n"


@pytest.fixture
def home(settings: Settings, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a home with a version v1, and make them those of the command."""
    folder = settings.models / "v1"
    shutil.copytree(tiny_model, folder)
    for name, text in {PAIRS: "{}", HELD_OUT: "[]", "recipe.json": "{}", "README.md": CARD}.items():
        (folder / name).write_text(text)
    fingerprint = load_embedder(str(folder), settings).fingerprint
    Registry(settings.models).add(Version("v1", "f", fingerprint, "builtin", "ratings", "keep", "VERDICT: keep", NOON))
    for name in ("home", "base_model", "start_model", "device", "chunk_tokens"):
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    return settings


def test_plain_sentence_transformers_loads_what_was_pushed_with_the_same_vectors(
    home: Settings, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    out = tmp_path / "out"
    assert main(["push", "v1", str(out)]) == 0
    ours = load_embedder(str(home.models / "v1"), home, "fp32")
    theirs = SentenceTransformer(str(out), device="cpu", local_files_only=True)
    assert np.allclose(theirs.encode_document(TEXTS, normalize_embeddings=True), ours.embed_documents(TEXTS), atol=1e-5)
    assert np.allclose(theirs.encode_query(TEXTS, normalize_embeddings=True), ours.embed_queries(TEXTS), atol=1e-5)


def test_what_was_pushed_is_in_the_form_that_earlier_releases_and_servers_read(home: Settings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["push", "v1", str(out)]) == 0
    modules = json.loads((out / "modules.json").read_text())
    assert [each["type"].rpartition(".")[0] for each in modules] == ["sentence_transformers.models"] * len(modules)
    pooling = json.loads((out / "1_Pooling" / "config.json").read_text())
    assert (pooling["word_embedding_dimension"], pooling["pooling_mode_mean_tokens"]) == (32, True)
    assert sum(value is True for name, value in pooling.items() if name.startswith("pooling_mode_")) == 1
    assert json.loads((out / "sentence_bert_config.json").read_text()).keys() == {"max_seq_length", "do_lower_case"}
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    make_portable(out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_pooling_that_has_no_old_form_stays_as_it_is(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_model, out)
    (out / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 32, "pooling_mode": ["mean", "max"]}')
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    make_portable(out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_distilled_matrix_goes_out_and_comes_in_with_the_weights(home: Settings, tmp_path: Path) -> None:
    plain = load_embedder(str(home.models / "v1"), home)
    matrix = np.diag([0.5] * plain.dim).astype(np.float32)
    matrix[0, 1] = 1.0
    query_adapter.write(matrix, home.models / "v1", OWN, plain.query_fingerprint)
    ours = load_embedder(str(home.models / "v1"), home, "fp32")
    assert main(["push", "v1", str(tmp_path / "out")]) == 0
    assert main(["pull", str(tmp_path / "out")]) == 0
    back = load_embedder(str(home.models / "v2"), home, "fp32")
    assert back.query_fingerprint == ours.query_fingerprint != plain.query_fingerprint
    np.testing.assert_array_equal(back.embed_queries(TEXTS), ours.embed_queries(TEXTS))


def test_a_push_takes_no_training_data_along_and_names_the_licence(home: Settings, tmp_path: Path) -> None:
    assert main(["train", "push", "v1", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert not names & {PAIRS, HELD_OUT, "recipe.json", "version.json"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "- thumbtune" in card
    assert PAIRS not in card
    assert "- The end." in card


def test_a_pulled_model_is_a_version_that_no_gate_has_promoted(
    home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dense_weight(home.models / "v1", 0.8)
    assert main(["push", "v1", str(tmp_path / "out")]) == 0
    assert main(["pull", str(tmp_path / "out")]) == 0
    assert "v2 is pulled from" in capsys.readouterr().out
    one, two = Registry(home.models).versions()
    assert (two.kind, two.verdict, two.fingerprint) == ("pulled", "keep", one.fingerprint)
    assert read_dense_weight(str(home.models / "v2")) == 0.8  # of hybrid search, which was learnt for these weights
    assert main(["train", "list"]) == 0
    assert "pulled" in capsys.readouterr().out
    assert main(["train", "show", "v2"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (lambda out: ["push", "v9", out], "v9: no such version"),
        (lambda out: ["push", "v1", str(Path(out).parent)], "is there already"),
        (lambda out: ["push", "v1", "hub:no name/at all"], "the hub did not take it"),
        (lambda out: ["pull", out], "there is no such model folder"),
    ],
    ids=["unknown", "exists", "hub", "missing"],
)
def test_what_cannot_be_pushed_or_pulled_says_why_in_one_line(
    home: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: Callable[[str], list[str]],
    said: str,
) -> None:
    assert main(words(str(tmp_path / "out"))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_a_base_model_without_a_known_licence_needs_one(
    home: Settings, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home.models / "v1", home.models / "v2")
    Registry(home.models).add(Version("v2", "f", "print", str(tiny_model), "ratings", "keep", "VERDICT", NOON))
    assert main(["push", "v2", str(tmp_path / "out")]) == 2
    assert "--licence" in capsys.readouterr().err
    assert main(["push", "v2", str(tmp_path / "out"), "--licence", "mit"]) == 0
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()
