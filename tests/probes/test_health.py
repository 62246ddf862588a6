"""Is this a checkpoint that can be measured at all?"""

from __future__ import annotations

import pytest
from factories_model import TEMPLATE, byte_level_tokenizer

from pyr.probes.health import _generation_prompt

AT_ONCE = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level_tokenizer()


def faults_of(tokenizer, template):
    tokenizer.chat_template = template
    return [record.responses for record in _generation_prompt(tokenizer)]


def test_a_template_that_opens_the_answer_is_sound(tokenizer):
    assert faults_of(tokenizer, TEMPLATE) == [""]


def test_a_template_that_never_opens_the_answer_is_broken(tokenizer):
    closed = TEMPLATE.partition("{% if add_generation_prompt")[0]
    (fault,) = faults_of(tokenizer, closed)
    assert fault == "an answer is asked for without '<|im_start|>assistant' before it"


def test_a_template_whose_answer_follows_at_once_needs_no_opening(tokenizer):
    assert faults_of(tokenizer, AT_ONCE) == [""]


def test_of_a_template_that_cannot_be_rendered_nothing_is_said(tokenizer):
    assert faults_of(tokenizer, "{{ raise_exception('no') }}") == []
