"""Keep a home folder whole: find damage, repair it, back it up, restore it, take a person's data out.

damage       what is damaged in a home folder, why, and what to do
repair       repair what can be repaired; damaged files are moved aside, never deleted
threads      check the database of the chats, and salvage chat.db
snapshot     read a home folder as it is at one moment, while the chat writes
backup       back up a home folder, incrementally, and check backups by their hashes
restore      restore a backup into a home folder
in_use       which chats and trainings run on a home folder
personal_data  delete what is stored of a person, or write it to a file
forgotten    when a rater was last forgotten, for the backups
doctor       print what is damaged or repaired, and what a question needs
"""
