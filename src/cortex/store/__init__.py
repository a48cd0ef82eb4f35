"""The daemon's side of the files: journal, checkpoint, publishing, inbox and archive.

The only room that writes them. It decides no policy and knows no event's meaning.
"""
