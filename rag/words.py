"""The index of words on a table of chunks: made, kept level, asked. BM25, by LanceDB's own full-text index.

The idea a reader would miss: it is made anew after every change. Lance folds rows in and out without correcting the
counts that BM25 weighs by: after 100 of 2,000 chunks had been rewritten, 95 of 100 queries got another order than from
a fresh index. Made anew, the tables of both arms agree to the last digit; 10,000 chunks take 0.2 s, 50,000 take 1 s.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from lancedb.index import FTS

COLUMN = "text"
# For any language: ICU finds words also where no blank parts them, and accents are folded. No stems and no stop words:
# both need to know the language, and BM25 weighs a word that is everywhere with next to nothing anyway.
INDEX = FTS(base_tokenizer="icu/split", lower_case=True, ascii_folding=True, stem=False, remove_stop_words=False)
TIES = 32  # rows beyond those asked for: of equally good ones the least id comes first, in whatever order they lie
TRIES = 10  # to make an index while others make it, too: who loses has seen another's made, and looks again


def index_words(table: Any) -> None:  # noqa: ANN401  # lancedb ships no types
    """Make a table's index of words, unless nothing was written since it was made. Others may read meanwhile."""
    for left in reversed(range(TRIES)):
        if is_level(table):
            return
        try:
            table.create_index(COLUMN, config=INDEX, replace=True)
        except RuntimeError as error:
            if "commit conflict" not in str(error) or not left:
                raise


def is_level(table: Any) -> bool:  # noqa: ANN401
    """Return whether the index of words is there, and the last thing that was written to the table."""
    made = next((index for index in table.list_indices() if index.columns == [COLUMN]), None)
    if made is None or made.num_unindexed_rows:
        return False
    written = [version["timestamp"].astimezone(UTC) for version in table.list_versions()]  # they come in local time
    return bool(sum(at >= made.created_at for at in written) <= 1)  # one is the index's own


def find_words(table: Any, query: str, columns: list[str], n: int) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return at most n rows that share a word with the query, best first. Nothing in a query is an operator."""
    plain = query.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be handed to Rust
    found = table.search(plain, query_type="fts", fts_columns=COLUMN).select([*columns, "_score"]).limit(n + TIES)
    return sorted(found.to_list(), key=lambda row: (-row["_score"], row["id"]))[:n]
