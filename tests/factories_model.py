"""What tiny models for tests are made of."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_level_tokenizer():
    """A 600-token byte-level BPE with a chat template.

    It was learnt once from this project's own code. Learnt anew it would move the scores of every
    tiny model with each edit of the code.
    """
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer.from_file(str(HERE / "tiny_tokenizer.json"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        chat_template=TEMPLATE,
    )
