"""Tokenizers: train one, and say what it does beside others.

recipe.py              the recipe of a training
train.py               merges from texts, and the folder that holds them
forms.py, listed.py    any tokenizer behind one interface; lists of references and texts
measure.py, anatomy.py what a tokenizer does to texts, and how it cuts digits and blanks
comparison.py          all of that for one tokenizer beside others, or for several sizes
encode.py              encoding in bulk, by the fastest library that gives the same ids
"""
