"""LangChain with Chroma and LlamaIndex index a folder of text files, as their own guides do: run by the peers' Python.

    python peer_index.py "LangChain + Chroma"|"LlamaIndex"|"LlamaIndex, pieces of 256" FOLDER OUT MODEL

Imports nothing of ours, whose libraries are not there. Each splitter, batch size and precision is the library's own
default; only the model is named, a folder on this disk. Prints one line of JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

WINDOW = 256  # tokens that the model reads; of LlamaIndex's pieces of 1,024 the rest is not embedded
OVERLAP = 20  # what its guide names; its code has 200, most of a piece of 256


def main() -> None:
    """Load the model, index, and print what it came to."""
    name, (docs, out, model) = sys.argv[1], map(Path, sys.argv[2:])
    began = time.perf_counter()
    index = SYSTEMS[name](docs, out, str(model))
    load_s = time.perf_counter() - began
    began, cpu = time.perf_counter(), cpu_s()
    texts, kept, encoder = index()
    spent = {"wall_s": time.perf_counter() - began, "cpu_s": cpu_s() - cpu, "load_s": load_s, "mb": most_mb()}
    if kept() != len(texts):
        raise SystemExit(f"{name}: {kept()} of {len(texts)} pieces are kept")
    counts = [len(ids) for ids in encoder.tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
    read = sum(min(count, encoder.max_seq_length) for count in counts)
    print(json.dumps({**spent, "chunks": len(texts), "tokens": read}))


def langchain(docs, out, model):
    """DirectoryLoader, RecursiveCharacterTextSplitter as in the tutorials, HuggingFaceEmbeddings, Chroma on disk."""
    from langchain_chroma import Chroma
    from langchain_community.document_loaders import DirectoryLoader, TextLoader
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    embeddings = HuggingFaceEmbeddings(model_name=model)

    def index():
        loader = DirectoryLoader(str(docs), "**/*.txt", loader_cls=TextLoader, loader_kwargs={"encoding": "utf-8"})
        splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200, add_start_index=True)
        pieces = splitter.split_documents(loader.load())
        store = Chroma.from_documents(pieces, embeddings, persist_directory=str(out))
        texts = [piece.page_content for piece in pieces]
        return texts, lambda: len(store.get(include=[])["ids"]), embeddings._client

    return index


def llama_index(docs, out, model, **splitting):
    """SimpleDirectoryReader, SentenceSplitter, HuggingFaceEmbedding, VectorStoreIndex kept on disk."""
    from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import MetadataMode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    embedding = HuggingFaceEmbedding(model_name=model)

    def index():
        documents = SimpleDirectoryReader(str(docs)).load_data()
        splitters = [SentenceSplitter(**splitting)] if splitting else None
        made = VectorStoreIndex.from_documents(documents, embed_model=embedding, transformations=splitters)
        made.storage_context.persist(str(out))
        texts = [node.get_content(MetadataMode.EMBED) for node in made.docstore.docs.values()]
        vectors = made.storage_context.vector_store.data.embedding_dict
        return texts, lambda: len(vectors), embedding._model

    return index


def llama_index_whole(docs, out, model):
    """The same in pieces that the model reads whole, or nearly: LlamaIndex counts other tokens than the model."""
    return llama_index(docs, out, model, chunk_size=WINDOW, chunk_overlap=OVERLAP)


SYSTEMS = {
    "LangChain + Chroma": langchain,
    "LlamaIndex": llama_index,
    "LlamaIndex, pieces of 256": llama_index_whole,
}


def cpu_s():
    """Return the seconds of processor time that this process and those it started have taken."""
    return sum(os.times()[:4])


def most_mb():
    """Return the most memory that this process has held so far."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
