"""Defaults by the number of pairs, and sampling of pairs by weight."""

from __future__ import annotations

from collections import Counter

import pytest

from rag.errors import BadSetting
from rag.records import Pair
from train.recipe import (
    BATCH,
    BOOTSTRAP_EXAMPLES,
    MINI_BATCH,
    MOST_BYTES,
    Recipe,
    batch_for,
    check_dims,
    default_epochs,
    default_rate,
    matryoshka_dims,
    schedule,
    within_memory,
)

RECIPE = Recipe(epochs=1, batch=BATCH, rate=1e-4, dims=(384, 256, 128, 64))


@pytest.mark.parametrize(
    ("pairs", "epochs"), [(40, 4), (99, 4), (100, 3), (399, 3), (400, 2), (1999, 2), (2000, 1), (10**6, 1)]
)
def test_few_pairs_get_more_epochs(pairs: int, epochs: int) -> None:
    assert default_epochs(pairs, bootstrap=False) == epochs


@pytest.mark.parametrize("pairs", [60, 100, 150, 300, 400, 2000])
def test_a_bootstrap_is_short_however_many_pairs_it_has(pairs: int) -> None:
    assert pairs <= default_epochs(pairs, bootstrap=True) * pairs <= max(pairs, BOOTSTRAP_EXAMPLES)


def test_a_large_model_learns_more_slowly_and_a_low_rank_update_faster() -> None:
    small, large = 23_000_000, 110_000_000
    assert default_rate(large, lora=0) < default_rate(small, lora=0)
    assert default_rate(small, lora=8) == 10 * default_rate(small, lora=0)


@pytest.mark.parametrize(
    ("full", "dims"),
    [
        (1024, (1024, 512, 256, 128, 64)),
        (384, (384, 256, 128, 64)),
        (256, (256, 128, 64)),
        (64, (64, 32)),
        (32, (32, 16)),
    ],
)
def test_dimensions_start_at_the_full_one(full: int, dims: tuple[int, ...]) -> None:
    assert matryoshka_dims(full) == dims


@pytest.mark.parametrize("dim", [0, 385])
def test_a_dimension_that_the_model_does_not_have_is_refused(dim: int) -> None:
    check_dims((384, 1), 384)
    with pytest.raises(BadSetting, match=f"{dim} dimensions: the start model's vectors have 1 to 384"):
        check_dims((384, dim), 384)


@pytest.mark.parametrize(("pairs", "batch"), [(2, 2), (40, 10), (63, 15), (64, BATCH), (5000, BATCH)])
def test_few_pairs_make_smaller_batches(pairs: int, batch: int) -> None:
    assert batch_for(pairs, bootstrap=False) == batch


def test_a_bootstrap_has_no_hard_negatives_and_so_a_large_batch() -> None:
    assert [batch_for(pairs, bootstrap=True) for pairs in (40, 600)] == [10, 64]


def test_a_batch_that_does_not_fit_is_computed_in_parts() -> None:
    plenty = 64_000_000_000
    assert within_memory(RECIPE, 128, plenty) == RECIPE  # what a laptop is promised: 128 tokens below 4 GB
    assert within_memory(RECIPE, 512, plenty).mini_batch == MINI_BATCH  # 6 GB, four times as long
    assert within_memory(RECIPE, 128, 500_000_000).mini_batch == MINI_BATCH
    assert plenty > MOST_BYTES


def pairs_of(weight: float, n: int) -> list[Pair]:
    return [Pair(f"query {number}", f"chunk {number}", "text", weight=weight) for number in range(n)]


@pytest.mark.parametrize(("weight", "epochs", "times"), [(1.0, 3, 3), (2.0, 3, 6), (3.0, 1, 3), (0.5, 4, 2)])
def test_a_pair_is_sampled_its_weight_times_the_epochs(weight: float, epochs: int, times: int) -> None:
    assert set(Counter(pair.query for pair in schedule(pairs_of(weight, 50), epochs)).values()) == {times}


def test_a_fraction_is_sampled_with_that_probability() -> None:
    sampled = schedule(pairs_of(0.3, 1000), epochs=1)
    assert len(sampled) == len({pair.query for pair in sampled})
    assert len(sampled) == pytest.approx(300, abs=45)  # three standard deviations


def test_the_same_seed_sees_the_same_pairs_and_another_seed_others() -> None:
    pairs = pairs_of(0.3, 100)
    assert schedule(pairs, 1, seed=1) == schedule(pairs, 1, seed=1)
    assert schedule(pairs, 1, seed=1) != schedule(pairs, 1, seed=2)
