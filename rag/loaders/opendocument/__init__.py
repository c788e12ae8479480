"""OpenDocument files of LibreOffice and OpenOffice: text, spreadsheets, slides.

package    the XML parts of a file, its styles and page layouts
numbering  the numbers of headings and list items
inline     the text of a paragraph, and what stands in it but is read after it
objects    embedded charts and formulas, form fields
text       text documents (.odt)
sheets     spreadsheets (.ods)
slides     presentations (.odp)
"""
