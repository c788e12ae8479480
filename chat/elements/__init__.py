"""The comparison card and the other live elements.

card      the props of the comparison card, from the first token to the last vote
reveal    what a card says once the models are revealed
live      an element kept up to date in every tab and in the thread history
markdown  an answer's text -> Markdown with citation links
"""
