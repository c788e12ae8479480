"""Ratings -> labels -> pairs; review queue; labels in and out as files.

ratings         store a rating and derive its labels
preferences     labels of a preference: what tells the better answer from the other
lesson          what one rating teaches: the pairs it makes, or why none
outside         ratings from other programs, matched to the answers that they were given
pairs           labels -> one verdict per query and chunk -> training pairs
rated_queries   the pairs that a training would make now, or how many queries they have
credit          share a thumb among the cited chunks by BM25 rank; which pairs may judge
review_queue    what is worth a second look, most informative first
starters        example questions that these documents answer
suggestions     unrated questions on which the arms disagree most
chunk_matching  match a stored label to a chunk of the current index, by id or text
pins            confirmed question-passage pairs as regression tests
check           check pins against the index; which passages can be pinned
files           labels in and out, as JSON Lines or a BEIR folder
"""
