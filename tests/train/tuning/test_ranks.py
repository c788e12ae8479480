"""A training in several processes (ranks, as under torchrun) learns what one process does at the same batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from rag.settings import ROOT, Settings

ROUNDED = 2e-5  # sums in another order
PROGRAM = """
import os, sys
import torch
from sentence_transformers import SentenceTransformer
from rag.records import Pair
from train.recipe import Recipe
from train.tuning.trainer import tune, write_weights

start, target, batch = sys.argv[1:]
torch.set_num_threads(1)
things, places = "cat dog bird fish milk bone seed water".split(), "house garden river mountain".split()
pairs = [
    Pair(f"where is {thing} of {place}", f"{thing}-{place}", f"a {place} with one {thing}", (f"{thing}, no {place}",))
    for thing in things
    for place in places
]
for mini_batch in (0, 2):
    model = SentenceTransformer(start, device="cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # drawn for each process by itself
    done = tune(model, pairs, Recipe(epochs=1, batch=int(batch), rate=1e-3, dims=(32, 16), mini_batch=mini_batch))
    if os.environ.get("RANK", "0") == "0":
        write_weights(model, f"{target}/{mini_batch}")
        print(done.steps, done.examples)
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def trained(settings: Settings, folder: Path, batch: int, *launcher: str) -> str:
    """Train in a process of its own, or in two, twice: the loss at once, and in parts. Return steps and examples."""
    folder.mkdir()
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, *launcher, str(program), str(settings.start_model), str(folder), str(batch)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_learn_what_one_does(settings: Settings, tmp_path: Path) -> None:
    alone = trained(settings, tmp_path / "one", 8)
    together = trained(settings, tmp_path / "two", 7, *TORCHRUN)  # rounded up, so that two can divide it
    assert alone == together == "4 32\n" * 2
    start = load_file(Path(settings.start_model) / "model.safetensors")
    for loss in ("0", "2"):
        one, two = (load_file(tmp_path / each / loss / "model.safetensors") for each in ("one", "two"))
        assert max(float((one[name] - start[name]).abs().max()) for name in start) > 100 * ROUNDED
        for name in start:
            torch.testing.assert_close(two[name], one[name], atol=ROUNDED, rtol=0)
