"""PDF files.

pages  read the text page by page, with PDFium
"""
