"""Dense, hybrid, MMR, rerank, filters, passage search.

search          query x arm -> ranked hits
fusion          rank fusion and MMR
rerank          cross-encoder reranking, shared by both arms
passage_search  search both arms and BM25 at once, for a person who looks for a passage
"""
