"""Documents folder -> documents -> chunks, with caches.

discovery      find the files of the documents folders, under the names shown to people
corpus         the ids of a corpus: its folders, and how they are chunked
documents      read files into documents cut into chunks; a file that fails is skipped and reported
chunking       split a text into chunks at headings, paragraphs, sentences, lines and words
table_columns  repeat a table's column names in chunks that start inside the table
archives       read the files inside zip and tar archives
workers        parse files in processes with limits on time and memory
ignore         what a .thumbtuneignore leaves out
addresses      which machine an address leads to, and whether it is public
web_pages      fetch the pages of a list of URLs, cached for a week
parse_cache    parsed text by content hash, so that re-chunking parses nothing again
stat_cache     skip unchanged files by size and mtime, without opening them
"""
