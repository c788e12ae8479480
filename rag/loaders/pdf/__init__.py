"""PDF files.

pages           read the text page by page, with PDFium
characters      the characters of a page with their boxes
accents         put on their letters where a PDF draws them apart
turned          in which direction the lines of a page run
layout          the lines of a page in reading order, from the boxes of its characters
form_fields     what is filled into a form, ticked boxes and free text notes, at their places
running_titles  titles of sections with the number of the page, in the margin: dropped
text            lines -> text: hyphens at line ends, repeated headers and footers, sentences over two pages
"""
