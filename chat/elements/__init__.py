"""The comparison card and the other live elements.

card      the comparison card: its props, which public/elements/Compare.jsx draws
lesson    what a rating teaches, in words
reveal    what a card says once the models are revealed
file_lines  what became of the files of an index run
marks     which marks a passage's text has, by the kind of its document
jsx       Compare.jsx with its parts, served as one file
live      an element kept up to date in every tab and in the thread history
markdown  an answer's text -> Markdown with citation links
"""
