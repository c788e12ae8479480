"""Word, PowerPoint and EPUB files, and the XML that all Office files share.

docx_epub       Word files and EPUB books, converted to XHTML first
header_rows     rows of column names above each other -> one row
legacy          .doc and .ppt, converted by LibreOffice
office_math     formulas in Word and PowerPoint files -> one line of text such as a/b or x^2
ooxml           the XML parts of an Office file, their relationships, charts, Strict Open XML
pptx            PowerPoint slides, with tables and speaker notes
reading_order   the boxes of a slide, from top to bottom where the file has another order
rtf             Rich Text
rtf_marks       list numbers, cells and notes of Rich Text as marks that striprtf keeps
word_fields     tick boxes, form fields and symbols as text
word_numbering  the numbers of Word's headings, clauses and list items
word_prepare    Word's tick boxes, numbers, headers, comments, charts as plain text before the conversion
"""
