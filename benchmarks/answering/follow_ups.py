"""python -m benchmarks.answering.follow_ups: what a follow-up retrieves as typed, and with the question before it.

28 pairs of questions on the shipped documentation, written by hand before the rule was chosen; a hit counts if its
document is one that answers the follow-up. Needs an index: `python -m rag index`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rag.answering.service import open_service
from rag.retrieval.search import retrieve
from rag.settings import load_settings

PAIRS = (  # first question, follow-up, pattern of the documents that answer the follow-up
    ("How do I use Ollama?", "and vLLM?", "choose-an-llm"),
    ("How do I share the chat with a team?", "and with passwords?", "share-with"),
    ("How do I train on my ratings?", "and without a GPU?", "train|when-it|first-run"),
    ("What does a thumb up teach?", "and a thumb down?", "what-a-thumb|credit"),
    ("How are PDFs read?", "and scans?", "your-own"),
    ("What is a hard negative?", "how many are there?", "hard-neg"),
    ("How do I back up my data?", "and restore it?", "move-or"),
    ("How do I promote a version?", "and roll back?", "promote"),
    ("What is Matryoshka loss?", "why is it used?", "matryoshka"),
    ("How big may a chunk be?", "and the overlap?", "chunks"),
    ("How do I import labels from a CSV?", "and from JSON?", "import-labels"),
    ("When does the gate promote a model?", "and when not?", "gate"),
    ("Can I run it offline?", "and with Ollama?", "offline|choose-an"),
    ("How is the win rate computed?", "and ties?", "win-rates|scoreboard"),
    ("What is hybrid search?", "and reranking?", "retrieval"),
    ("Which documents languages does it understand?", "and Chinese?", "embeddings|limits|retrieval|choose-embedding"),
    ("How long does a training take?", "and with a GPU?", "train|limits"),
    ("Where is my data stored?", "and the chats?", "storage|privacy|move-or"),
    ("How many ratings do I need?", "why so many?", "when-it|intervals"),
    ("What does the scoreboard show?", "and the confidence interval?", "intervals|scoreboard"),
    ("Which embedding model should I choose?", "and for code?", "choose-embedding"),
    ("What if the endpoint fails?", "and if it is slow?", "wrong|choose-an"),
    ("How do I teach a passage?", "and take it back?", "teach|rate-well"),
    ("How do I read a training report?", "what about the plot?", "read-a-report"),
    ("Who can train from the chat?", "and who can promote?", "share-with|promote"),
    ("How do I delete a chat?", "and my ratings?", "privacy|share-with|move-or|rate-well"),
    ("Is HTML read?", "and Word?", "your-own"),
    ("What is the query adapter?", "when is it used?", "adapter"),
)
WAYS: dict[str, Callable[[str, str], str]] = {
    "as typed": lambda first, then: then,
    "first question alone": lambda first, then: first,
    "first question, then follow-up": lambda first, then: f"{first} {then}",
    "follow-up, then first question": lambda first, then: f"{then} {first}",
    "follow-up twice": lambda first, then: f"{first} {then} {then}",
}


def main() -> None:
    """Print hit_rate@1 and @k of each way of asking, by the base arm."""
    serving = open_service(load_settings())
    served, options = serving.served("base"), serving.search_options
    for name, way in WAYS.items():
        found = [
            [
                bool(re.search(right, hit.chunk.source))
                for hit in retrieve(serving.store, served, way(first, then), options)
            ]
            for first, then, right in PAIRS
        ]
        first, any_ = sum(each[:1] == [True] for each in found), sum(map(any, found))
        print(f"{name:32} first {first}/{len(PAIRS)}, among {serving.settings.k} {any_}/{len(PAIRS)}")


if __name__ == "__main__":
    main()
