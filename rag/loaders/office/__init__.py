"""Word, PowerPoint, Excel and EPUB files.

docx_epub    Word files and EPUB books, converted to XHTML first
office_math  formulas in Word and PowerPoint files -> one line of text such as a/b or x^2
pptx         PowerPoint slides, with tables and speaker notes
spreadsheet  Excel workbooks and CSV
"""
