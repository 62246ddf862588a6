"""Answers to lm-eval's `generate_until` requests, decoded together in slots.

The text is what lm-eval's HFLM returns for each request alone (batch size 1), with these
differences, each a fault of HFLM (0.4.13) or a crash:

- a stop that holds a special token is found and cut;
- the context is tokenised and truncated for itself, not as the first of a padded batch;
- sampling and penalties come from the request alone, never from the checkpoint's
  generation_config.json (its end-of-text ids do count);
- a request for as many tokens as the model can hold, or more, is answered in what its prompt
  leaves: see `_fit`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyr.engines.fast.decode import Answer, Decoder, Limits, Stops
from pyr.engines.fast.sampling import Constraint, Grammars, Sampler, dice, sampler
from pyr.engines.hflm import refuse_tokens_without_rows

# Measured on two CPU cores with 135M parameters: a token costs 24 ms in 8 rows, 9 in 16, 5 in 64,
# and no less in more. A GPU is limited by launches until far more rows.
_SLOTS = {"cpu": 64}
_SLOTS_ON_DEVICE = 256
_PREFILL_TOKENS = {"cpu": 512}
_PREFILL_TOKENS_ON_DEVICE = 8192
# Small blocks waste little memory and attention; each costs a call for each layer.
_BLOCK_TOKENS = {"cpu": 2048}
_BLOCK_TOKENS_ON_DEVICE = 65_536


def generate_until(model: Any, tokenizer: Any, requests: Sequence[Any], **how: Any) -> list[str]:
    """The text of the answer to each request, in their order; `how`: see `answers`."""
    return [each.stops.text(each.tokens) for each in answers(model, tokenizer, requests, **how)]


def answers(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Any],
    *,
    max_length: int,
    slots: int | None = None,
    batch_tokens: int = 32_768,
    prefill_tokens: int | None = None,
    max_gen_toks: int = 256,
    add_bos_token: bool | None = None,
    seed: int = 0,
) -> list[Answer]:
    """The answer to each request, in their order; deterministic for each, whatever else is asked.

    requests: lm-eval Instances whose `args` are (context, generation options). The same Instance
        given twice is a repeat of it, and drawn anew if its options sample.
    max_length: tokens that the model can hold, prompt and answer together.
    slots: rows decoded together at most; by default what is fastest on the model's device.
    batch_tokens: bound of the key/value cache over all rows; one row may be as long as it must.
    prefill_tokens: prompt tokens computed in one pass at most, a longer prompt excepted.
    max_gen_toks: answer length where the options name none (HFLM's own default is 256).
    add_bos_token: as in HFLM; a context that begins with it gets no second one.
    Out of memory halves the limits and goes on.
    Raises MeasureError for logits that are no numbers, ContentError for unknown options.
    """
    limits = _limits(str(model.device.type), slots, batch_tokens, prefill_tokens)
    encoded = _encode(model, tokenizer, [request.args[0] for request in requests], add_bos_token)
    kinds = _Kinds(model, tokenizer, max_gen_toks)
    found: dict[str, Answer] = {}
    keys, repeats = list[str](), Counter[int]()
    for request in requests:
        context, options = request.args
        kind = kinds.of(options)
        repeat = repeats[id(request)] if kind.draws else 0
        repeats[id(request)] += 1
        key = json.dumps([context, options, repeat], sort_keys=True, default=str)
        keys.append(key)
        if key not in found:
            found[key] = Answer(
                _name(request),
                *_fit(encoded[context], kind.max_tokens, max_length),
                stops=kind.stops,
                sampler=kind.sampler,
                dice=dice(seed, context, options, repeat),
                constraint=kinds.constraint(kind),
            )
    Decoder(model, limits).run([answer for answer in found.values() if answer.max_tokens > 0])
    return [found[key] for key in keys]


def _limits(
    device: str, slots: int | None, batch_tokens: int, prefill_tokens: int | None
) -> Limits:
    """The limits given, or what measured best on this kind of device."""
    return Limits(
        slots or _SLOTS.get(device, _SLOTS_ON_DEVICE),
        batch_tokens,
        prefill_tokens or _PREFILL_TOKENS.get(device, _PREFILL_TOKENS_ON_DEVICE),
        _BLOCK_TOKENS.get(device, _BLOCK_TOKENS_ON_DEVICE),
    )


def _name(request: Any) -> str:
    return f"{request.task_name}, document {request.doc_id}"


def _fit(prompt: list[int], max_tokens: int, max_length: int) -> tuple[list[int], int]:
    """The prompt and the answer's length that fit into `max_length` tokens together.

    As in HFLM the prompt loses its beginning, and the answer keeps the length asked for. Where
    that length alone is `max_length` or more (HFLM stops with an assertion), the prompt keeps up
    to half of the room and the answer gets the rest.
    """
    if max_tokens < max_length:
        return prompt[-(max_length - max_tokens) :], max_tokens
    prompt = prompt[-(max_length // 2) :]
    return prompt, max_length - len(prompt)


class _Kinds:
    """What requests with the same options have in common, worked out once for each set."""

    def __init__(self, model: Any, tokenizer: Any, max_gen_toks: int) -> None:
        self._tokenizer = tokenizer
        self._max_gen_toks = max_gen_toks
        end = tokenizer.eos_token_id
        # Without an end token an answer ends at the task's own stops, or its length.
        self._eos_text = None if end is None else tokenizer.decode(end, skip_special_tokens=False)
        declared = model.generation_config.eos_token_id
        listed = declared if isinstance(declared, list) else [declared]
        self._eos_ids = {
            number for number in [*listed, tokenizer.eos_token_id] if number is not None
        }
        self._known: dict[str, _Kind] = {}
        self._grammars = Grammars(tokenizer, model.config.vocab_size, self._eos_ids)

    def of(self, options: Mapping[str, Any]) -> _Kind:
        """The kind of request that has these options."""
        key = json.dumps(options, sort_keys=True, default=str)
        if key not in self._known:
            self._known[key] = self._make(options)
        return self._known[key]

    def _make(self, options: Mapping[str, Any]) -> _Kind:
        from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

        known = dict(normalize_gen_kwargs(dict(options), self._max_gen_toks))
        until = handle_stop_sequences(known.pop("until"), eos=self._eos_text)
        return _Kind(
            max_tokens=known.pop("max_gen_toks"),
            grammar=known.pop("structural_tag", None),
            stops=Stops(self._tokenizer, until, self._eos_ids),
            draws=known["do_sample"],
            sampler=sampler(known),
        )

    def constraint(self, kind: _Kind) -> Constraint | None:
        """What holds one answer to its kind's grammar; None where any text will do."""
        return self._grammars.constraint(kind.grammar) if kind.grammar else None


@dataclass(frozen=True, slots=True)
class _Kind:
    max_tokens: int
    grammar: Mapping[str, Any] | None
    stops: Stops
    draws: bool
    sampler: Sampler | None


def _encode(
    model: Any, tokenizer: Any, contexts: Sequence[str], add_bos_token: bool | None
) -> dict[str, list[int]]:
    """Token ids of each distinct context, special tokens added as HFLM adds them.

    An empty context is the one token that HFLM conditions on nothing with: begin or end of text.
    """
    start = tokenizer.bos_token
    groups: dict[bool | None, list[str]] = defaultdict(list)
    for context in dict.fromkeys(contexts):
        starts_alone = start is not None and context.startswith(start)
        groups[False if starts_alone else add_bos_token].append(context)
    encoded: dict[str, list[int]] = {}
    for add_special, group in groups.items():
        how = {} if add_special is None else {"add_special_tokens": add_special}
        encoded |= dict(zip(group, tokenizer(group, **how)["input_ids"], strict=True))
    refuse_tokens_without_rows(model, tokenizer, encoded.values())
    nothing = tokenizer.bos_token_id
    if nothing is None:
        nothing = tokenizer.eos_token_id
    return {context: tokens or [nothing] for context, tokens in encoded.items()}
