"""LaTeX.

latex   the reader: sections, lists, tables, code, footnotes
macros  which commands are sections, lists, layout, and their arguments
parser  text -> nodes, in pieces where the parser would take for ever
nodes   the arguments of a command
source  the text before it is parsed: code put aside, comments out, definitions collected
"""
