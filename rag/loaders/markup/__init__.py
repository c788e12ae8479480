"""Text with markup.

asciidoc         AsciiDoc
asciidoc_inline  AsciiDoc within a line: links, references, footnotes, marks of formatting
asciidoc_table   the cells of an AsciiDoc table
cleaning         marks for generators out of Markdown: ids, admonitions, includes, JSX
markdown         Markdown and its front matter in YAML, TOML or JSON
org              Org
outline          the top-level blocks of Markdown by their lines
readme           README and the like without an ending, by the markup that they show
rst              reStructuredText
wiki             Wiki text as MediaWiki has it
wiki_marks       unclosed marks of Wiki text, taken out before it is parsed
writer           the blocks of AsciiDoc, Org, LaTeX and Wiki text
"""
