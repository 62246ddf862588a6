"""Training data: what a source is, which of its rows are used, and the shards they become.

source.py        Source, and the one reader of its rows: files, hub data sets, Python functions
filters.py       which rows are used: columns, repetitions, limits, the held-out share
chat_formats.py  chats as data sets write them and as chat templates render them
ngrams.py        runs of words that training text shares with test items
shards.py        tokenised documents in memory-mapped files
"""
