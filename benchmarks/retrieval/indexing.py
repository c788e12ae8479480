"""Index a folder of text files, compared with LangChain + Chroma and with LlamaIndex: part (1) of retrieval.

All have the same files, the same model (the built-in one, from its folder) and the same threads; each runs in its own
process and writes to a new folder. Each splits, embeds and stores by its own defaults. Loading libraries and model is
reported separately. The order is reversed with each repetition, and the median counts.

Why tokens are counted: a library that embeds less of the text is faster and finds less. LlamaIndex makes chunks of
1,024 tokens, of which this model reads 256. So a second ratio is per token read, and LlamaIndex runs once more with
chunks of 256, which leave little unread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.learning.squad import Few, write_papers
from benchmarks.retrieval.scale import most_mb, peers, result_of
from rag.models.precision import native
from rag.models.weights import BUILTIN, model_folder
from rag.settings import ROOT, PrecisionSet, Settings

OURS, OURS_INT8, OURS_FP32 = "thumbtune", "thumbtune, int8", "thumbtune, fp32"
RAW, RAW_INT8, RAW_FP32 = "raw encode", "raw encode, int8", "raw encode, fp32"
PRECISION: Mapping[str, PrecisionSet] = {
    **{OURS: "auto", RAW: "auto"},  # what a first index is made in
    **{OURS_INT8: "int8", RAW_INT8: "int8"},  # what both arms serve in where promoting measured that it is as good
    **{OURS_FP32: "fp32", RAW_FP32: "fp32"},
}
LANGCHAIN, LLAMA, LLAMA_WHOLE = "LangChain + Chroma", "LlamaIndex", "LlamaIndex, pieces of 256"
PEERS = (LANGCHAIN, LLAMA, LLAMA_WHOLE)
SYSTEMS = (*PRECISION, *PEERS)  # a pipeline and its raw encode run one after the other
PEER_INDEX = Path(__file__).parent / "peer_index.py"
QUICK = Few(12)
REPEATS, QUICK_REPEATS = 3, 2
AIM_DEFAULT, AIM_FP32, AIM_OVERHEAD = 2.0, 1.0, 0.10
Measured = Mapping[str, float]


def indexing(data: Path, folder: Path, *, quick: bool) -> None:
    """Print the table of all systems, and what it says about the aims."""
    docs, work = folder / ("quick" if quick else "full") / "papers", folder / "indexing"
    papers = write_papers(data, docs, QUICK if quick else None)
    threads = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
    repeats = QUICK_REPEATS if quick else REPEATS
    characters = sum(len(paper["context"]) for paper in papers.values())
    print(
        f"{len(papers)} text files, {characters / 1e6:.1f} million characters; {threads} threads; median of {repeats}."
    )
    print(f"Our default here is {native(_settings(OURS, work))}; ratios are of processor seconds.\n", flush=True)
    commands = _commands(peers(folder / "peers"), docs, work)
    runs: dict[str, list[Measured]] = {system: [] for system in SYSTEMS}
    for turn in range(repeats):
        for system in SYSTEMS if turn % 2 == 0 else reversed(SYSTEMS):
            shutil.rmtree(work / system, ignore_errors=True)
            (work / system).mkdir(parents=True)
            runs[system].append(result_of(commands[system], OMP_NUM_THREADS=threads))
            print(f"{system}: {runs[system][-1]}", file=sys.stderr, flush=True)
    typical = {system: median(found) for system, found in runs.items()}
    print("\n".join([*table(typical), "", *verdicts(typical)]), flush=True)


def _commands(python: Path, docs: Path, work: Path) -> dict[str, list[object]]:
    """Return what runs each system: files from `docs`, and what it makes in a folder of its own in `work`."""
    model = model_folder(BUILTIN, _settings(OURS, work))
    ours = [sys.executable, "-m", "benchmarks.retrieval.indexing", "--texts", work / "texts.json"]
    return {
        **{system: [*ours, system, docs, work / system] for system in PRECISION},
        **{system: [python, PEER_INDEX, system, docs, work / system, model] for system in PEERS},
    }


def median(runs: Sequence[Measured]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def table(found: Mapping[str, Measured]) -> list[str]:
    """Return the lines of the table; ratios are of processor seconds, to our own run with its default."""
    ours = found[OURS]
    lines = [
        "| system | chunks | tokens read | of ours | load s | index s | CPU s | times ours | per token | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for system, run in found.items():
        share, whole = run["tokens"] / ours["tokens"], run["cpu_s"] / ours["cpu_s"]
        size = f"{run['chunks']:,.0f} | {run['tokens']:,.0f} | {share:.0%}"
        spent = f"{run['load_s']:.1f} | {run['wall_s']:.1f} | {run['cpu_s']:.1f}"
        lines.append(f"| {system} | {size} | {spent} | {whole:.2f} | {whole / share:.2f} | {run['mb']:.0f} |")
    return lines


def verdicts(found: Mapping[str, Measured]) -> list[str]:
    """Return a line for each aim: what was reached, and whether that is enough."""
    lines = []
    for ours, aim in ((OURS, AIM_DEFAULT), (OURS_INT8, AIM_DEFAULT), (OURS_FP32, AIM_FP32)):
        for peer in PEERS:
            whole = found[peer]["cpu_s"] / found[ours]["cpu_s"]
            each = whole * found[ours]["tokens"] / found[peer]["tokens"]
            lines.append(
                f"{ours} against {peer}: {whole:.2f} times as fast, {each:.2f} times per token read "
                f"(aim {aim:.0f}: {_reached(whole >= aim)}, {_reached(each >= aim)} per token)"
            )
    for ours, raw in ((OURS, RAW), (OURS_INT8, RAW_INT8), (OURS_FP32, RAW_FP32)):
        over = overhead(found[ours], found[raw])
        aim = f"(aim at most {AIM_OVERHEAD:.0%}: {_reached(over <= AIM_OVERHEAD)})"
        lines.append(f"{ours} over {raw} of the same chunks: {over:+.1%} {aim}")
    return lines


def overhead(pipeline: Measured, raw: Measured) -> float:
    """Return what the pipeline takes beyond the raw encode, as a share of that, in processor seconds."""
    return pipeline["cpu_s"] / raw["cpu_s"] - 1


def _reached(is_so: bool) -> str:
    return "reached" if is_so else "missed"


def _settings(system: str, home: Path, docs: Path = ROOT / "docs") -> Settings:
    models = {"base_model": BUILTIN, "start_model": BUILTIN, "llm": "extractive"}
    return Settings(home=home, docs=(docs,), precision=PRECISION[system], **models)


class Noting:
    """An embedder that keeps the texts it embeds as chunks: what a raw encode has to encode, too."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def embed_documents(self, texts: list[str], progress: Any = None) -> Any:
        """Embed as the model does."""
        self.texts += texts
        return self._model.embed_documents(texts, progress)


def index_ours(system: str, docs: Path, out: Path, texts: Path) -> dict[str, float]:
    """Index as `python -m rag index` does, and return what it took."""
    began = time.perf_counter()
    with _open_indexer(system, out, docs) as indexer:
        model = indexer._embedders[BUILTIN] = Noting(indexer._embedder(BUILTIN))
        spent = _spent(began, indexer.run)
        kept = len(indexer._store.chunks.ids(indexer._store.chunks.table_name(indexer._corpus.id, model.fingerprint)))
    if kept != len(model.texts):
        raise SystemExit(f"{system}: {kept} of {len(model.texts)} chunks are kept")
    texts.write_text(json.dumps(model.texts))
    return {**spent, "chunks": kept, "tokens": _read(model, model.texts)}


def encode_raw(system: str, docs: Path, out: Path, texts: Path) -> dict[str, float]:
    """Encode the texts of the last index with sentence-transformers alone, and return what it took."""
    began = time.perf_counter()
    import torch

    from rag.models.embedder import BATCH

    chunks = json.loads(texts.read_text())
    with _open_indexer(system, out, docs) as indexer:
        embedder = indexer._embedder(BUILTIN)

    def encode() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=embedder.precision == "bf16"):
            embedder._model.encode(chunks, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)

    return {**_spent(began, encode), "chunks": len(chunks), "tokens": _read(embedder, chunks)}


def _open_indexer(system: str, home: Path, docs: Path) -> Any:
    from rag.indexing.indexer import Indexer

    return Indexer(_settings(system, home, docs))


def _spent(began: float, act: Any) -> dict[str, float]:
    """Return the seconds that loading took since it began, then those of an action, and the memory by then."""
    loaded, cpu = time.perf_counter(), sum(os.times()[:4])
    act()
    wall_s, cpu_s = time.perf_counter() - loaded, sum(os.times()[:4]) - cpu
    return {"load_s": loaded - began, "wall_s": wall_s, "cpu_s": cpu_s, "mb": most_mb()}


def _read(model: Any, texts: list[str]) -> int:
    """Return how many tokens of the texts the model reads."""
    return sum(min(count, model.max_tokens) for count in model.count_tokens(texts))


def main() -> None:
    """Run one system of ours in this process: what `indexing` starts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.indexing")
    parser.add_argument("system", choices=PRECISION)
    parser.add_argument("docs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="where the chunks of the last index are")
    given = parser.parse_args()
    measure = index_ours if given.system in (OURS, OURS_INT8, OURS_FP32) else encode_raw
    print(json.dumps(measure(given.system, given.docs, given.out, given.texts)))


if __name__ == "__main__":
    main()
