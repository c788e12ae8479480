"""Text with markup.

markdown  Markdown and its YAML front matter
"""
