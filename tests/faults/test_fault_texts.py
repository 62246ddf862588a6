"""Sound weights that are given other texts."""

from __future__ import annotations

import pytest
import transformers

from pyr import faults
from pyr.errors import CheckpointError

TURN = [{"role": "user", "content": "Hello"}]


def tokenizer(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_without_a_merge_its_token_is_spelt_in_two(tiny_checkpoint, tmp_path):
    whole = tokenizer(tiny_checkpoint)
    short = tokenizer(faults.without_merge(tiny_checkpoint, tmp_path / "made"))
    # The first merge that training on code finds joins two spaces.
    text = "        return  x"
    assert len(short(text)["input_ids"]) > len(whole(text)["input_ids"])
    assert short.decode(short(text)["input_ids"]) == text


def test_a_merge_that_is_not_there_cannot_be_taken_away(tiny_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="none of number 100000"):
        faults.without_merge(tiny_checkpoint, tmp_path / "made", merge=100_000)


def test_without_its_generation_prompt_a_template_never_opens_an_answer(tiny_checkpoint, tmp_path):
    copy = faults.without_generation_prompt(tiny_checkpoint, tmp_path / "made")
    plain, closed = (
        tokenizer(each).apply_chat_template(TURN, tokenize=False, add_generation_prompt=True)
        for each in (tiny_checkpoint, copy)
    )
    assert plain == closed + "<|im_start|>assistant\n"


def test_a_template_without_one_is_refused(checkpoint_copy, tmp_path):
    (checkpoint_copy / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(CheckpointError, match="no generation prompt"):
        faults.without_generation_prompt(checkpoint_copy, tmp_path / "made")


def test_every_text_begins_with_the_added_bos(tiny_checkpoint, tmp_path):
    copy = tokenizer(faults.add_bos(tiny_checkpoint, tmp_path / "made"))
    plain = tokenizer(tiny_checkpoint)
    assert copy("Hello")["input_ids"] == [plain.bos_token_id, *plain("Hello")["input_ids"]]
