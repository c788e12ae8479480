"""The index of words on a table of chunks: made, kept level, asked. BM25, by LanceDB's own full-text index.

The idea a reader would miss: it is made anew after every change. Lance folds rows in and out without correcting the
counts that BM25 weighs by: after 100 of 2,000 chunks had been rewritten, 95 of 100 queries got another order than from
a fresh index. Made anew, the tables of both arms agree to the last digit; 10,000 chunks take 0.2 s, 50,000 take 1 s.
"""

from __future__ import annotations

from typing import Any

from lancedb import lit
from lancedb.index import FTS

from rag.store import index_metadata
from rag.store.filters import EVERYWHERE, DocumentFilter, spellings

COLUMN = "text"
PATH = "concat('/', lower(source), '/')"  # so that a part of it is one between two strokes
FACTS = "words"
# For any language: ICU finds words also where no blank parts them, and accents are folded. No stems and no stop words:
# both need to know the language, and BM25 weighs a word that is everywhere with next to nothing anyway.
INDEX = FTS(base_tokenizer="icu/split", lower_case=True, ascii_folding=True, stem=False, remove_stop_words=False)
TIES = 32  # rows beyond those asked for: of equally good ones the least id comes first, in whatever order they lie
TRIES = 10  # to make an index while others make it, too: who loses has seen another's made, and looks again


def build_text_index(table: Any) -> None:  # noqa: ANN401  # lancedb ships no types
    """Make a table's index of words, unless no row was written since it was made. Others may read meanwhile."""
    for left in reversed(range(TRIES)):
        if is_up_to_date(table):
            return
        content = index_metadata.content(table)
        try:
            table.create_index(COLUMN, config=INDEX, replace=True)
        except RuntimeError as error:
            if "commit conflict" not in str(error) or not left:
                raise
            continue
        if made := _index(table):
            index_metadata.write(table, FACTS, {"uuid": str(made.index_uuid), "content": content})


def is_up_to_date(table: Any) -> bool:  # noqa: ANN401
    """Return whether the index of words is one that was made here, from the rows that the table has now.

    One that LanceDB has folded rows into, as it does when it compacts, has another uuid.
    """
    index = _index(table)
    if index is None or index.num_unindexed_rows:  # of two that are made at once, the one kept may lack rows
        return False
    made = {"uuid": str(index.index_uuid), "content": index_metadata.content(table)}
    return index_metadata.read(table, FACTS) == made


def _index(table: Any) -> Any:  # noqa: ANN401
    return next((index for index in table.list_indices() if index.columns == [COLUMN]), None)


def search_bm25(
    table: Any,  # noqa: ANN401
    query: str,
    columns: list[str],
    n: int,
    only: DocumentFilter = EVERYWHERE,
) -> list[dict[str, Any]]:
    """Return at most n rows that share a word with the query, best first. Nothing in a query is an operator.

    How much a word weighs is counted over all rows, also where `only` some are searched.
    """
    plain = query.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be handed to Rust
    found = table.search(plain, query_type="fts", fts_columns=COLUMN).select([*columns, "_score"]).limit(n + TIES)
    return sorted(where(found, only).to_list(), key=lambda row: (-row["_score"], row["id"]))[:n]


def where(search: Any, only: DocumentFilter) -> Any:  # noqa: ANN401
    """Return a search restricted to the documents of a filter, before it ranks: as `DocumentFilter.allows` has it."""
    inside = [f"strpos({PATH}, {lit(f'/{each}/').to_sql()}) > 0" for each in spellings(only.folders)]
    kinds = [f"ends_with({PATH}, {lit(f'.{kind}/').to_sql()})" for kind in only.types]
    conditions = [f"({' OR '.join(each)})" for each in (inside, kinds) if each]
    conditions += [f"date >= {lit(only.since).to_sql()}"] if only.since else []
    conditions += [f"date != '' AND date < {lit(only.before).to_sql()}"] if only.before else []
    return search.where(" AND ".join(conditions), prefilter=True) if conditions else search
