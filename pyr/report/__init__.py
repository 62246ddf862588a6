"""From records and a verdict to something a person reads.

outline.py      everything a report says, as plain data; nothing is decided after it
measures.py     ... of every measure: its numbers, one word, its place
forgetting.py   ... of what a training forgot: text sets by checkpoints
samples.py      ... of the items that changed sides, and of what a checkpoint writes
provenance.py   ... of who, what and where
words.py        how numbers, intervals and counts are written; harmless text
document.py     what any report says, in blocks
html.py         ... written as a page
markdown.py     ... written as Markdown
tokenizer_view.py   the pages of tokenizers as documents
checkpoint_view.py      the page of a checkpoint as a document: verdict, gate, measures
checkpoint_sections.py  ... its other sections
measure_cells.py        ... a measure's numbers in the cells of a table
charts.py       charts, and the small marks inside tables
terminal.py     ... written in a terminal: a checkpoint a line a measure, any other as tables
machine_readable.py     JSON and JUnit
"""
