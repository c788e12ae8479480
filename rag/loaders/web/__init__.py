"""Web pages.

html   the main text of a web page, with trafilatura and lxml
xhtml  lenient XHTML parsing and the text of an element, for Word files and EPUB too
"""
