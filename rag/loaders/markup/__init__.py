"""Text with markup.

markdown  Markdown and its front matter in YAML, TOML or JSON
cleaning  marks for generators out of Markdown: ids, admonitions, includes, JSX
rst       reStructuredText
"""
