"""What the loaders lose or invent on real files, against second readers.

words           a text as a bag of words, and two bags compared
second_readers  the same file as read by poppler, pandoc, lxml or from its raw XML
measuring       one file read as `index` does, and compared
"""
