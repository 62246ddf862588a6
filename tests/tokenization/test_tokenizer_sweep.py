"""Sizes cut from one training are what a training of that size would give."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories_tokenization import TEXTS, small_recipe

from pyr.errors import UsageError
from pyr.report import html as writer
from pyr.report import tokenizer_view
from pyr.tokenization import comparison, listed, measure, train
from pyr.tokenization.train import learn, training_texts

MODEL = comparison.Model(hidden=10, body=1000)


def test_a_smaller_size_is_the_beginning_of_a_larger_training() -> None:
    large = learn(TEXTS, "qwen2", 150, trainer="tokenizers")
    assert large[:60] == learn(TEXTS, "qwen2", 60, trainer="tokenizers")


def test_every_size_is_measured_and_larger_is_not_worse(corpus: Path) -> None:
    recipe = small_recipe(held_out=0.2)
    sizes = [280, 320, 360]
    merges = comparison.train_sizes(recipe, corpus, sizes)
    texts = measure.passages(listed.unseen(recipe, corpus))
    found = comparison.measure_sizes(recipe, merges, sizes, texts, MODEL)
    assert [each.vocab_size for each in found] == sizes
    assert [each.embedding_parameters for each in found] == [2800, 3200, 3600]
    values = [each.bytes_per_token.value for each in found]
    assert values == sorted(values)
    assert found[0].tokens_per_byte == pytest.approx(1 / found[0].domains["all"])
    assert found[0].flops_per_byte == pytest.approx(6 * (1000 + 2800) * found[0].tokens_per_byte)


def test_a_size_below_the_bytes_is_refused(corpus: Path) -> None:
    with pytest.raises(UsageError, match="too small"):
        comparison.train_sizes(small_recipe(), corpus, [200])


def test_unseen_documents_are_those_that_training_leaves_out(corpus: Path) -> None:
    recipe = small_recipe(held_out=0.2)
    unseen = {each.text for each in listed.unseen(recipe, corpus)}
    seen = set(training_texts(recipe, corpus))
    assert unseen and not unseen & seen


def test_the_page_marks_the_size_of_the_recipe(corpus: Path) -> None:
    recipe = small_recipe(held_out=0.2, vocab_size=320)
    sizes = [280, 320]
    merges = comparison.train_sizes(recipe, corpus, sizes)
    texts = measure.passages(listed.unseen(recipe, corpus))
    found = comparison.measure_sizes(recipe, merges, sizes, texts, MODEL)
    html = writer.render(tokenizer_view.sweep(recipe, found, MODEL))
    assert html.count('class="own"') == 1
    assert '<tr class="own"><th scope="row">320</th>' in html
    assert "://" not in html


def test_num_merges_fills_the_vocabulary() -> None:
    recipe = small_recipe(vocab_size=1000)
    assert train.num_merges(recipe) == 1000 - 256 - 6
