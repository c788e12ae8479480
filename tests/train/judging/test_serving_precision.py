"""The serving precision: how it is set, measured and chosen when a version is promoted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fakes import NOON, make_chunk
from rag.errors import BadModel, BadSetting
from rag.evaluation.intervals import Interval
from rag.indexing.indexer import index
from rag.indexing.update import is_up_to_date
from rag.ingest.corpus import load_corpus
from rag.models import precision
from rag.models.arms import Arms, arm_precision
from rag.models.embedder import Embedder, Vectors, load_embedder
from rag.models.registry import Registry, Version
from rag.models.weights import ADAPTER
from rag.records import ARMS, Qrels
from rag.settings import Settings
from rag.store.store import open_store
from train.judging.promotion import promote_by_hand, roll_back
from train.judging.serving_precision import (
    OTHERS,
    JudgedSample,
    MeasuredPrecision,
    PrecisionChoice,
    choose_precision,
    draw,
    fastest,
    measure,
)


def quiet(text: str):
    return lambda done, total: None


# --- which precision ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pays", "expected"), [(True, "bf16"), (False, "fp32")])
def test_models_are_judged_in_bf16_where_that_pays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, pays: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "bf16_pays", lambda device: pays)
    assert precision.native(settings) == expected
    assert precision.native(settings.model_copy(update={"precision": "int8"})) == expected
    assert precision.native(settings.model_copy(update={"precision": "fp32"})) == "fp32"


@pytest.mark.parametrize(
    ("device", "set_to", "chosen", "expected"),
    [
        ("cpu", "auto", None, "bf16"),
        ("cpu", "auto", "bf16", "bf16"),
        ("cpu", "auto", "int8", "int8"),
        ("cpu", "auto", "fp32", "fp32"),
        ("cpu", "fp32", "int8", "fp32"),
        ("cpu", "int8", None, "int8"),
        ("cuda", "auto", "int8", "bf16"),  # measured on a CPU: nothing to a GPU
        ("cuda", "auto", "fp32", "bf16"),
    ],
)
def test_the_set_precision_wins_over_the_chosen_one_and_that_over_the_native_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, device: str, set_to: str, chosen, expected: str
) -> None:
    monkeypatch.setattr(precision, "bf16_pays", lambda device: True)
    given = settings.model_copy(update={"device": device, "precision": set_to})
    assert precision.serving(given, chosen) == expected


def test_bf16_that_was_chosen_elsewhere_does_not_slow_down_a_cpu_without_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bf16_pays", lambda device: False)
    assert precision.serving(settings, "bf16") == "fp32"


def test_int8_on_a_gpu_is_refused_with_what_to_do(settings: Settings) -> None:
    given = settings.model_copy(update={"device": "cuda", "precision": "int8"})
    with pytest.raises(BadSetting, match=r"THUMBTUNE_PRECISION=int8.*the device is cuda: set THUMBTUNE_DEVICE=cpu"):
        precision.serving(given, None)


# --- how it is chosen -----------------------------------------------------------------------------------------------


def row(role: str, name: precision.Precision, ndcg: float, per_second: float) -> MeasuredPrecision:
    return MeasuredPrecision(role, name, ndcg, Interval(0, 0, 0), per_second, 1.0)


def test_the_fastest_within_half_a_point_of_full_precision_is_chosen() -> None:
    rows = [row("base", "fp32", 0.6, 10), row("base", "bf16", 0.599, 17), row("base", "int8", 0.5951, 23)]
    assert fastest(rows)[0] == "int8"
    assert "(0.005 below, 2.3 times as fast); no faster one was measured" in fastest(rows)[1]


def test_a_precision_that_costs_more_than_half_a_point_is_rejected_with_the_reason() -> None:
    rows = [row("base", "fp32", 0.6, 10), row("base", "bf16", 0.599, 17), row("base", "int8", 0.594, 99)]
    name, why = fastest(rows)
    assert name == "bf16"
    assert "int8 costs 0.006" in why


def test_both_arms_must_bear_it() -> None:
    rows = [row("base", "fp32", 0.6, 10), row("base", "int8", 0.6, 20)]
    assert fastest([*rows, row("v1", "fp32", 0.7, 10), row("v1", "int8", 0.7, 20)])[0] == "int8"
    assert fastest([*rows, row("v1", "fp32", 0.7, 10), row("v1", "int8", 0.69, 20)])[0] == "fp32"


def test_a_precision_is_as_fast_as_its_slower_arm() -> None:
    rows = [row("base", "fp32", 0.6, 10), row("base", "int8", 0.6, 20)]
    assert fastest([*rows, row("v1", "fp32", 0.7, 10), row("v1", "int8", 0.7, 9)])[0] == "fp32"


def test_a_gain_by_rounding_is_no_reason_against_it() -> None:
    assert fastest([row("base", "fp32", 0.6, 10), row("base", "int8", 0.65, 20)])[0] == "int8"


CHUNKS = [make_chunk(f"chunk {n}") for n in range(700)]


def test_the_sample_has_every_right_chunk_and_does_not_hang_on_an_order() -> None:
    qrels = Qrels({f"query {n}": frozenset({CHUNKS[n].id, "gone"}) for n in range(40)})
    sample = draw(qrels, CHUNKS)
    assert {chunk.id for chunk in CHUNKS[:40]} <= {chunk.id for chunk in sample.chunks}
    assert len(sample.chunks) == 40 + OTHERS == len(set(sample.chunks))
    assert draw(Qrels(dict(reversed(qrels.relevant.items()))), CHUNKS[::-1]) == sample


class Fake:
    """An embedder of three directions; a wrong one swaps the last two, for chunks alone."""

    reference, precision = "fake", "fp32"

    def __init__(self, wrong: bool = False) -> None:
        self.wrong, self.embedded = wrong, 0

    def embed_queries(self, queries: list[str]) -> Vectors:
        return np.eye(3, dtype=np.float32)[[int(query[-1]) for query in queries]]

    def embed_documents(self, texts: list[str], progress=None) -> Vectors:
        self.embedded += len(texts)
        turned = [0, 2, 1] if self.wrong else [0, 1, 2]
        return np.eye(3, dtype=np.float32)[[turned[int(text[-1])] for text in texts]]


def test_each_precision_is_compared_with_full_precision() -> None:
    chunks = [make_chunk(f"chunk {n}") for n in range(3)]
    qrels = Qrels({f"query {n}": frozenset({chunks[n].id}) for n in range(3)})
    exact, wrong = Fake(), Fake(wrong=True)
    rows = measure("base", {"fp32": exact, "int8": wrong}, JudgedSample(qrels, chunks))  # type: ignore[dict-item]
    # of three queries one still finds its chunk first; the others find theirs second or third, all ties by row
    found = {each.precision: each for each in rows}
    assert found["fp32"].ndcg == 1
    assert found["int8"].ndcg < 0.9
    assert found["int8"].change.mean == pytest.approx(found["int8"].ndcg - 1)
    assert exact.embedded == wrong.embedded == 9  # once for the ranking, twice for the time


def test_real_models_are_measured_in_each_precision_and_one_is_chosen_for_both(
    settings: Settings, other_tiny_model: Path
) -> None:
    chunks = [make_chunk(text) for text in ("the cat drinks milk", "the dog keeps one bone", "birds eat seed")]
    qrels = Qrels({f"{word} {n}": frozenset({chunks[0].id}) for n, word in enumerate(["cat", "milk"] * 5)})
    choice = choose_precision(settings, {"base": settings.base_model, "v1": str(other_tiny_model)}, qrels, chunks)
    measured = {(each.role, each.precision) for each in choice.measured}
    assert {("base", "fp32"), ("base", "int8"), ("v1", "fp32"), ("v1", "int8")} <= measured
    assert (choice.n, choice.chunks, choice.failed) == (10, 3, {})
    assert choice.precision in ("fp32", "bf16", "int8")
    assert [len(cells) for cells in choice.rows()] == [6] * (1 + len(measured))


def test_a_model_that_cannot_be_quantized_excludes_int8_for_both_arms(
    settings: Settings, other_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(reference: str, settings: Settings, precision=None) -> Embedder:
        if precision == "int8" and reference == str(other_tiny_model):
            raise BadModel("it cannot be rewritten")
        return load_embedder(reference, settings, precision)

    monkeypatch.setattr("train.judging.serving_precision.load_embedder", load)
    chunks = [make_chunk(text) for text in ("the cat drinks milk", "the dog keeps one bone")]
    qrels = Qrels({f"cat {n}": frozenset({chunks[0].id}) for n in range(10)})
    choice = choose_precision(settings, {"base": settings.base_model, "v1": str(other_tiny_model)}, qrels, chunks)
    assert choice.precision in ("fp32", "bf16")
    assert choice.failed == {"int8": "v1: it cannot be rewritten"}


@pytest.mark.parametrize(
    ("changed", "n", "why"),
    [
        ({"precision": "fp32"}, 10, "set by THUMBTUNE_PRECISION=fp32"),
        ({"device": "cuda"}, 10, "always fp32 on cuda"),
        ({}, 9, "9 test queries, need 10"),
    ],
)
def test_a_choice_without_measurement_gives_its_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], n: int, why: str
) -> None:
    monkeypatch.setattr(precision, "bf16_pays", lambda device: False)
    qrels = Qrels({f"cat {number}": frozenset({CHUNKS[0].id}) for number in range(n)})
    choice = choose_precision(settings.model_copy(update=changed), {"base": settings.base_model}, qrels, CHUNKS)
    assert (choice.precision, choice.measured) == (None, ())
    assert why in choice.why


def test_an_adapter_stays_with_the_precision_that_serves(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / ADAPTER).write_text("{}")
    roles = {"base": settings.base_model, "v2": str(tmp_path / "v2")}
    qrels = Qrels({f"cat {n}": frozenset({CHUNKS[0].id}) for n in range(10)})
    for now in (None, "int8"):
        choice = choose_precision(settings, roles, qrels, CHUNKS, now)
        assert (choice.precision, choice.measured) == (now, ())


# --- how it serves --------------------------------------------------------------------------------------------------


def add_version(settings: Settings, model: Path) -> Version:
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    name = registry.next_name()
    shutil.copytree(model, settings.models / name)
    version = Version(name, folders, "fingerprint", "start", "ratings", "keep", "VERDICT", NOON)
    registry.add(version)
    return version


def test_a_promotion_switches_both_arms_at_once_and_a_rollback_back(settings: Settings, other_tiny_model: Path) -> None:
    index(settings)
    store, corpus, registry = open_store(settings.lancedb), load_corpus(settings), Registry(settings.models)
    version, arms = add_version(settings, other_tiny_model), Arms(settings, store, corpus)
    before = {arm: arms.current(arm) for arm in ARMS}
    promote_by_hand(settings, store, corpus, version.name, quiet, lambda reference: "int8")
    assert [arms.current(arm) for arm in ARMS] == list(before.values())  # until it looks
    assert arms.refresh()
    assert not arms.trouble
    assert {arms.current(arm).embedder.precision for arm in ARMS} == {"int8"}
    assert all(is_up_to_date(store, corpus.id, arms.current(arm).table) for arm in ARMS)
    assert {arms.current(arm).table for arm in ARMS}.isdisjoint(each.table for each in before.values())
    assert registry.precision(corpus.folders_id, version, settings.base_model) == "int8"
    elsewhere = settings.model_copy(update={"base_model": str(other_tiny_model)})
    assert arm_precision(elsewhere, corpus.folders_id) == precision.native(settings)  # with it nothing was measured
    roll_back(settings, store, corpus, quiet)
    arms.refresh()
    assert {arm: arms.current(arm).table for arm in ARMS} == {arm: each.table for arm, each in before.items()}
    assert arm_precision(settings, corpus.folders_id) == precision.native(settings)


def test_base_is_complete_in_the_new_precision_before_anything_is_swapped(
    settings: Settings, other_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(settings)
    store, corpus, registry = open_store(settings.lancedb), load_corpus(settings), Registry(settings.models)
    version = add_version(settings, other_tiny_model)
    base = load_embedder(settings.base_model, settings, "int8")
    table = store.chunks.table_name(corpus.id, base.fingerprint)
    assert not store.chunks.exists(table)
    levels: list[bool] = []
    swap = Registry.promote

    def watched(self: Registry, *args, **kwargs) -> Version:
        levels.append(is_up_to_date(store, corpus.id, table))
        return swap(self, *args, **kwargs)

    monkeypatch.setattr(Registry, "promote", watched)
    promote_by_hand(settings, store, corpus, version.name, quiet, lambda reference: "int8")
    assert levels == [True]
    assert registry.champion(corpus.folders_id) == version


def test_an_index_run_and_an_upload_go_to_the_tables_that_serve(settings: Settings, other_tiny_model: Path) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    version = add_version(settings, other_tiny_model)
    promote_by_hand(settings, store, corpus, version.name, quiet, lambda reference: "int8")
    (settings.docs[0] / "birds.md").write_text("Birds eat seed.\n")
    index(settings)
    arms = Arms(settings, open_store(settings.lancedb), corpus)
    assert all(is_up_to_date(store, corpus.id, arms.current(arm).table) for arm in ARMS)


def test_what_was_measured_once_is_kept_and_not_measured_again(settings: Settings, other_tiny_model: Path) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    version = add_version(settings, other_tiny_model)
    promote_by_hand(settings, store, corpus, version.name, quiet, lambda reference: "int8")
    roll_back(settings, store, corpus, quiet)
    again = lambda reference: pytest.fail("this takes minutes")  # noqa: E731
    promote_by_hand(settings, store, corpus, version.name, quiet, again)
    assert arm_precision(settings, corpus.folders_id) == "int8"


def test_what_served_unmeasured_is_not_measured_to_serve_again(settings: Settings, other_tiny_model: Path) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    version = add_version(settings, other_tiny_model)
    promote_by_hand(settings, store, corpus, version.name, quiet)
    roll_back(settings, store, corpus, quiet)
    promote_by_hand(settings, store, corpus, version.name, quiet, lambda reference: pytest.fail("this takes minutes"))
    assert arm_precision(settings, corpus.folders_id) == precision.native(settings)


def test_a_choice_tells_nothing_where_nothing_was_measured() -> None:
    assert PrecisionChoice(None, "why").rows()[1:] == []
