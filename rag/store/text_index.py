"""Build and search the BM25 full-text index of a chunk table, with LanceDB's own index.

Why it is rebuilt after every change: Lance adds and removes rows without correcting the counts that BM25 weighs by:
after 100 of 2,000 chunks had been rewritten, 95 of 100 queries got another order than from a fresh index. Rebuilt, the
tables of both arms agree to the last digit; 10,000 chunks take 0.2 s, 50,000 take 1 s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from lancedb import lit
from lancedb.index import FTS

from rag.languages import COMPOUNDING, guess_language
from rag.store import index_metadata
from rag.store.filters import EVERYWHERE, DocumentFilter, spellings

COLUMN = "text"
PATH = "concat('/', lower(source), '/')"  # so that every part of it stands between two slashes
FACTS = "words"
SCORE = "_score"  # the column of a found row that has its BM25 score
_FTS = partial(FTS, lower_case=True, ascii_folding=True, stem=False, remove_stop_words=False)
# For any language: ICU finds words also where no blank separates them, and accents are folded. No stemming and no stop
# words: both depend on the language, and BM25 gives a word that is everywhere next to no weight anyway.
BY_WORDS = _FTS(base_tokenizer="icu/split")
# Where words are joined, by all runs of two and three letters, so that a compound is found by its parts: XQuAD in
# German 0.94 -> 0.97 (docs/log.md). Three alone would not find "EU".
BY_LETTERS = _FTS(base_tokenizer="ngram", ngram_min_length=2, ngram_max_length=3)
SAMPLED = 200  # chunks that the language is guessed from
TIES = 32  # extra rows: of equal scores the smallest id comes first, whatever their order in the table
TRIES = 10  # to build an index while other processes build it: the loser of a conflict checks again


def build_text_index(table: Any) -> None:  # noqa: ANN401  # lancedb ships no types
    """Build a table's text index, unless no row was written since it was built. Others may read meanwhile."""
    for left in reversed(range(TRIES)):
        if is_up_to_date(table):
            return
        content, config = index_metadata.content(table), _config(table)
        try:
            table.create_index(COLUMN, config=config, replace=True)
        except RuntimeError as error:
            if "commit conflict" not in str(error) or not left:
                raise
            continue
        if made := _index(table):
            index_metadata.write(table, FACTS, _facts(made, content, repr(config)))


def is_up_to_date(table: Any) -> bool:  # noqa: ANN401
    """Return whether the text index was built here, from the current rows and with the current options.

    An index that LanceDB has updated itself, as it does in compaction, has another uuid.
    """
    index = _index(table)
    if index is None or index.num_unindexed_rows:  # of two that are built at once, the one kept may lack rows
        return False
    facts = index_metadata.read(table, FACTS) or {}
    options = str(facts.get("options"))  # the same rows are in the same language, so it is not guessed again
    is_current = options in (repr(BY_WORDS), repr(BY_LETTERS))
    return is_current and facts == _facts(index, index_metadata.content(table), options)


def _facts(index: Any, content: index_metadata.Facts, options: str) -> index_metadata.Facts:  # noqa: ANN401
    """Return what an index was built from; an index of an earlier release has no options, so it is built again."""
    return {"uuid": str(index.index_uuid), "content": content, "options": options}


def _config(table: Any) -> FTS:  # noqa: ANN401
    """Return the options for the language of most chunks, among SAMPLED ones spread evenly over the table."""
    rows = table.count_rows()
    offsets = list(range(0, rows, max(1, rows // SAMPLED)))
    texts = table.take_offsets(offsets).select([COLUMN]).to_list() if offsets else []
    languages = Counter(filter(None, (guess_language(row[COLUMN]) for row in texts)))
    joined = sum(languages[each] for each in COMPOUNDING)
    return BY_LETTERS if joined * 2 > languages.total() else BY_WORDS


def _index(table: Any) -> Any:  # noqa: ANN401
    return next((index for index in table.list_indices() if index.columns == [COLUMN]), None)


def search_bm25(
    table: Any,  # noqa: ANN401
    query: str,
    columns: list[str],
    n: int,
    only: DocumentFilter = EVERYWHERE,
) -> list[dict[str, Any]]:
    """Return at most n rows that share a word with the query, best first by BM25. A query has no operators.

    A word's weight is counted over all rows, also where `only` restricts the search.
    """
    plain = query.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be handed to Rust
    found = table.search(plain, query_type="fts", fts_columns=COLUMN).select([*columns, SCORE]).limit(n + TIES)
    return sorted(where(found, only).to_list(), key=lambda row: (-row[SCORE], row["id"]))[:n]


def prewarm(table: Any) -> bool:  # noqa: ANN401
    """Read the text index into LanceDB's cache; return whether there is one."""
    index = _index(table)
    if index:
        table.prewarm_index(index.name)
    return index is not None


def search_row_ids(table: Any, query: str, n: int, ids: Mapping[int, str]) -> dict[str, float]:  # noqa: ANN401
    """Return what `search_bm25` does as id -> score, from a table at one version whose ids are known by row id.

    With a warm index that reads nothing of the table: on object storage no request instead of 3 to 8.
    """
    plain = query.encode("utf-8", "replace").decode()
    search = table.search(plain, query_type="fts", fts_columns=COLUMN).select([SCORE]).with_row_id(True)
    scores = {ids[row["_rowid"]]: float(row[SCORE]) for row in search.limit(n + TIES).to_list() if row["_rowid"] in ids}
    return dict(sorted(scores.items(), key=lambda each: (-each[1], each[0]))[:n])


def where(search: Any, only: DocumentFilter) -> Any:  # noqa: ANN401
    """Return a search restricted to the documents of a filter before ranking, as `DocumentFilter.allows` does."""
    inside = [f"strpos({PATH}, {lit(f'/{each}/').to_sql()}) > 0" for each in spellings(only.folders)]
    kinds = [f"ends_with({PATH}, {lit(f'.{kind}/').to_sql()})" for kind in only.types]
    conditions = [f"({' OR '.join(each)})" for each in (inside, kinds) if each]
    conditions += [f"date >= {lit(only.since).to_sql()}"] if only.since else []
    conditions += [f"date != '' AND date < {lit(only.before).to_sql()}"] if only.before else []
    return search.where(" AND ".join(conditions), prefilter=True) if conditions else search
