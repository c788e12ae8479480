"""What the loaders lose or invent on real files, against second readers.

words           a text as a bag of words, and two bags compared
second_readers  the same file as read by poppler, pandoc, lxml or from its raw XML
scans           text recognition on pages that are drawn, tilted and spoilt for it
one_mark        what a single mistyped mark costs a document
measuring       one file read as `index` does, and compared
"""
