"""What fine-tuning brings on documents it never saw: COVID-QA, gold pairs, split by document.

    python -m benchmarks.learning /path/to/covidqa

Trains the built-in model with the product's own code on questions about three quarters of the papers, and judges it on
questions about the rest, against all chunks of the rest. Some four minutes on two cores. The data is deepset's COVID-QA
(Apache-2.0), a SQuAD-like JSON file: questions by biomedical experts with the span that answers each.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from rag.chunking import CountTokens, cut
from rag.embed import bf16_pays, load_embedder, load_trainable, wrap
from rag.loaders import load_text
from rag.records import Chunk, Document, Pair, Qrels, Span, chunks_of, content_id
from rag.settings import Settings
from rag.stats import paired_bootstrap
from rag.weights import BUILTIN
from train.evaluate import judge, newcomer
from train.negatives import add_negatives
from train.split import alike
from train.tune import Recipe, give_way, matryoshka_dims, tune

TEST_SHARE = 4  # one document in so many is judged
CHUNK_TOKENS = 128


def main() -> None:
    """Train, judge, and print a table of base and tuned at each dimension."""
    given = _parser().parse_args()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), base_model=BUILTIN, start_model=BUILTIN)
        give_way(settings.train_threads)
        base = load_embedder(BUILTIN, settings)
        papers = [read_paper(paper, base.count_tokens) for paper in read_file(given.path)]
        test = [paper for paper in papers if int(paper[0][0].document_id, 16) % TEST_SHARE == 0]
        train = [paper for paper in papers if paper not in test]
        pairs = sorted((pair for _, gold in train for pair in gold), key=lambda p: content_id(p.query))[: given.pairs]
        chunks = [chunk for paper, _ in test for chunk in paper]
        qrels = qrels_of([pair for _, gold in test for pair in gold])
        print(
            f"{len(papers)} papers; {len(pairs)} pairs to train on; {len(qrels)} queries against {len(chunks)} chunks"
        )

        known = {pair.positive_id for pair in pairs}  # to mine from all chunks would take a minute more
        seen = [chunk for paper, _ in train for chunk in paper if chunk.id in known]
        queries, vectors = base.embed_queries([p.query for p in pairs]), base.embed_documents([c.text for c in seen])
        if not given.plain:
            pairs = add_negatives(pairs, queries, seen, vectors, alike)
        model = load_trainable(BUILTIN, settings)
        began = time.process_time()
        done = tune(model, pairs, Recipe(given.epochs, given.seed, bf16_pays(str(model.device))))
        print(f"{done.steps} steps in {done.seconds:.0f} s ({time.process_time() - began:.0f} s of processor)")
        entered = {
            "base": newcomer("base", base, qrels, chunks),
            "tuned": newcomer("tuned", wrap(model, "tuned", settings), qrels, chunks),
        }
        scores = judge(entered, qrels, chunks, matryoshka_dims)
    for dim, metrics in scores["base"].items():
        for metric, before in metrics.items():
            after = scores["tuned"][dim][metric]
            gain = paired_bootstrap(after, before)
            print(
                f"{dim:5} {metric:11} base {before.mean():.3f}  tuned {after.mean():.3f}  "
                f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
            )


def read_file(path: Path) -> list[dict]:
    """Return the papers of a SQuAD-like file, or of the one such file in a folder."""
    file = next(path.glob("*.json")) if path.is_dir() else path
    return [paragraph for entry in json.loads(file.read_text())["data"] for paragraph in entry["paragraphs"]]


def read_paper(paper: dict, count_tokens: CountTokens) -> tuple[list[Chunk], list[Pair]]:
    """Return a paper's chunks, and for each question a pair with the chunk that holds most of its answer."""
    text = paper["context"]
    sections = load_text(text.encode()).sections
    spans = tuple(Span(start, end) for start, end, _ in cut(text, sections, count_tokens, CHUNK_TOKENS))
    name = content_id(text)
    chunks = chunks_of(Document(name, name, name, name, text, spans))
    pairs = []
    for question in paper["qas"]:
        start = question["answers"][0]["answer_start"]
        end = start + len(question["answers"][0]["text"])
        best = max(chunks, key=lambda chunk: min(end, chunk.end) - max(start, chunk.start))
        pairs.append(Pair(question["question"], best.id, best.text))
    return chunks, pairs


def qrels_of(pairs: list[Pair]) -> Qrels:
    """Return each query's gold chunks; the same question may be asked of two papers."""
    relevant: dict[str, frozenset[str]] = {}
    for pair in pairs:
        relevant[pair.query] = relevant.get(pair.query, frozenset()) | {pair.positive_id}
    return Qrels(relevant)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="the JSON file, or the folder it lies in")
    parser.add_argument("--pairs", type=int, default=685, help="how many pairs to train on")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without hard negatives: half the time")
    return parser


if __name__ == "__main__":
    main()
