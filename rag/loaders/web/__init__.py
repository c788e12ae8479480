"""Web pages.

html         the content of a web page, its title and date
boilerplate  what a site repeats on every page, and what is not shown: left out by rule
walker       elements -> headings, paragraphs, lists, tables and code blocks
page_text    the text of an element where no block may begin: a heading, a table cell
page_table   a table of values as texts by row and column
mathml       MathML -> one line of text
xhtml        lenient XHTML parsing and the text of an element, for Word files and EPUB
"""
