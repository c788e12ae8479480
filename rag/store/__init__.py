"""LanceDB: schemas, tables, vector index, full-text index.

schema          pyarrow schema of every table, and records <-> rows
lance           LanceDB tables by name, in a folder on disk or on an object store
durability      fsync what LanceDB wrote, so that a write that returned survives a power cut
store           Store: the documents, chunks and feedback of one home folder
document_store  documents of each corpus: text, spans and chunk ids
chunk_store     chunks with vectors: dense and keyword search, indexes, diff against the documents
feedback_store  answers, ratings, labels and synthetic pairs
filters         in:, type: and since: filters of a query
vector_index    choose the vector index: brute force, then IVF or HNSW where measured recall@10 >= 0.99
text_index      the BM25 full-text index
index_metadata  index metadata in JSON files inside the table's folder
table_files     the files that a version of a table consists of, from its manifest
table_health    read a table in full to find damage, and repair it from its own files
"""

from rag.deferred import defer

defer("lance_namespace_urllib3_client")  # before any module here imports lancedb
