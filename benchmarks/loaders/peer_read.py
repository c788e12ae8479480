"""PYTHON benchmarks/loaders/peer_read.py PEER: read the files named on stdin, print a line of JSON for each.

Runs in an environment of its own, with the peers and without thumbtune: see benchmarks/loaders/peers.py.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def reader_of(peer: str) -> Callable[[str], str]:
    """Return what reads a file with a peer's defaults as its makers document them."""
    if peer == "markitdown":
        from markitdown import MarkItDown

        converter = MarkItDown()
        return lambda path: str(converter.convert(path).text_content)
    if peer == "unstructured":
        from unstructured.partition.auto import partition

        return lambda path: "\n\n".join(str(element) for element in partition(path, strategy="fast"))
    if peer == "pymupdf4llm":
        import pymupdf4llm

        return lambda path: str(pymupdf4llm.to_markdown(path))
    if peer == "docling-parse":  # docling's PDF parser alone: the rest of it needs a layout model from a hub
        from docling_core.types.doc.page import TextCellUnit
        from docling_parse.pdf_parser import DoclingPdfParser

        parser = DoclingPdfParser()
        return lambda path: "\n".join(
            cell.text
            for _, page in parser.load(path).iterate_pages()
            for cell in page.iterate_cells(unit_type=TextCellUnit.LINE)
        )
    from docling.document_converter import DocumentConverter

    docling = DocumentConverter()
    return lambda path: str(docling.convert(path).document.export_to_markdown())


def main() -> None:
    """Read each file; one that fails has its error instead of a text."""
    out, sys.stdout = sys.stdout, sys.stderr  # some peers print
    read = reader_of(sys.argv[1])
    for line in sys.stdin:
        path = line.rstrip("\n")
        start = time.process_time()
        row = {"path": path, "text": "", "error": ""}
        try:
            row["text"] = read(path)
        except Exception as error:  # noqa: BLE001  # a crash is a finding, the other files are still read
            row["error"] = f"{type(error).__name__}: {error}"[:200]
        out.write(json.dumps({**row, "seconds": time.process_time() - start}) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
