"""From records and a verdict to something a person reads.

outline.build   everything a report says, as plain data; nothing is decided after it
page.render     the one self-contained HTML file      (figures: its charts)
terminal.show   the same by rich
text.*          Markdown, JSON, JUnit
speed.*         whether two machines were equally fast, and GB for bytes
"""
