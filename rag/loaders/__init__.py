"""File formats -> text. One loader per format: bytes in, `LoadedText` out, never a path.

blocks     sections and blocks of a text: where a chunk may be cut
builder    assembles a `LoadedText` block by block
tables     tables as lines that make sense one by one
decoding   bytes of a text file -> text, with a note on what was guessed
invisible  without characters that nobody sees
encoding_guess  the encoding of a text by its letters, in 41 languages
metadata   titles and dates as files state them
symbols    signs of symbol fonts -> characters
text       plain text and source code
ole        the container of older Office files and Outlook messages
safe_zip   zip files, within limits on size and number of parts
sniff      the format of a file by its first bytes
formats    the registry: suffix -> kind of file and its loader
pdf/       PDF
ocr/       pictures and scanned pages, by text recognition
office/    Word, PowerPoint, EPUB
sheets/    Excel, CSV
opendocument/  OpenDocument text, spreadsheets and slides
web/       web pages
markup/    Markdown, reStructuredText, AsciiDoc, Org, Wiki text
latex/     LaTeX
messages/  e-mail, Outlook messages, saved web pages
data/      JSON, YAML, XML, notebooks, subtitles
"""
