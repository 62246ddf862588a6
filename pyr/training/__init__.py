"""Train a model through gated phases, and lose nothing.

recipe.py         the files people write: the order of phases, and each phase
model.py          the model of a recipe, freshly initialised
prepare.py        every source of a recipe into token ids and shards
held_out.py       test items that training text must not hold; held-out documents as tasks
distributed.py    the same in parts, as tasks of datatrove: here, under Slurm, on Ray
packing.py        shards -> rows without padding, in an order that a seed decides
order.py          all that a phase needs, in one file that a stage is given; the phase's log
checkpoints.py    checkpoints that are complete or absent
trl_trainers.py   trl's trainers, on rows and pairs laid out here; the loss with a z-loss
callbacks.py      what is looked at during a phase: losses, signals, saves, a short suite
settings.py       a phase's options for transformers' and trl's trainers
stage.py          one phase, one process: ``python -m pyr.training.stage FOLDER``
curriculum.py     the conductor: prepare, train, evaluate, judge, go on
course.py         a whole run as plain data: its phases, verdicts, and what was forgotten
training_view.py its report as a document
export.py         the trained model as a Hugging Face folder with a card, or as a GGUF file
"""
