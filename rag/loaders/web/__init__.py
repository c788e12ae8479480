"""Web pages.

html         the content of a web page, its title and date
boilerplate  what a site repeats on every page, and what is not shown: left out by rule
walker       elements -> headings, paragraphs, lists, tables and code blocks
mathml       MathML -> one line of text
xhtml        lenient XHTML parsing and the text of an element, for Word files and EPUB
"""
