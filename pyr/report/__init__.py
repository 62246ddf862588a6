"""From records and a verdict to something a person reads.

outline.py      everything a report says, as plain data; nothing is decided after it
measures.py     ... of every measure: its numbers, one word, its place
forgetting.py   ... of what a training forgot: text sets by checkpoints
samples.py      ... of the items that changed sides
writing.py      ... of what a checkpoint writes by itself
provenance.py   ... of who, what and where
speed.py        whether two machines were equally fast, and GB for bytes
words.py        how numbers, intervals and counts are written; harmless text
document.py     what any report says, in blocks
html.py         ... written as a page
markdown.py     ... written as Markdown
tokenizer_view.py   the pages of tokenizers as documents
checkpoint_view.py      the page of a checkpoint as a document: verdict, gate, measures
checkpoint_sections.py  ... its other sections
measure_cells.py        ... a measure's numbers in the cells of a table
figures.py      its charts
marks.py        the small marks inside its tables
terminal.py     the same by rich; any document
text.py         Markdown, JSON, JUnit
"""
