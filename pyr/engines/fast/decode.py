"""The decoding loop: rows refilled as they finish, within a budget of cached tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pyr.engines.fast.blocks import Blocks, Row
from pyr.engines.fast.grammar import Constraint
from pyr.engines.fast.prefixes import Beginning, arrange
from pyr.engines.fast.sampling import Sampler
from pyr.engines.fast.score import is_out_of_memory
from pyr.engines.fast.slots import Prefix, Slots, slot_attention, take
from pyr.engines.fast.stops import Stops
from pyr.errors import MeasureError


@dataclass(slots=True)
class Answer:
    """One answer to be: what is asked, and the tokens said so far."""

    name: str
    prompt: Sequence[int]
    max_tokens: int
    stops: Stops
    sampler: Sampler | None = None
    dice: torch.Generator = field(default_factory=torch.Generator)
    constraint: Constraint | None = None
    tokens: list[int] = field(default_factory=list)
    beginning: Beginning | None = None

    def cached(self) -> list[int]:
        """What must be in the cache before the next token: all but the last one said."""
        return [*self.prompt, *self.tokens][:-1]

    @property
    def num_cached(self) -> int:
        """Length of `cached`."""
        return len(self.prompt) + len(self.tokens) - 1

    @property
    def newest(self) -> int:
        """The token that the model has not seen yet."""
        return self.tokens[-1] if self.tokens else self.prompt[-1]

    @property
    def num_shared(self) -> int:
        """Tokens of the prompt that belong to a shared beginning."""
        return len(self.beginning.tokens) if self.beginning else 0

    def finished(self) -> bool:
        """Whether the last token said is the last of the answer."""
        return len(self.tokens) >= self.max_tokens or self.stops.reached(self.tokens)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once: rows of a step, tokens held in memory, tokens of a prefill and a block."""

    slots: int
    cached_tokens: int
    prefill_tokens: int
    block_tokens: int

    def halved(self, num_rows: int) -> Limits:
        """Half of each, where `num_rows` rows were too many."""
        return Limits(
            max(1, min(self.slots, num_rows) // 2),
            max(1, self.cached_tokens // 2),
            max(1, self.prefill_tokens // 2),
            self.block_tokens,
        )


class Decoder:
    """Answers in slots, bounded by `limits`, which halve when memory runs out."""

    def __init__(self, model: Any, limits: Limits) -> None:
        self.limits = limits
        self.slots = Slots(model)
        self.queue: deque[Answer] = deque()
        self.prefixes: dict[Beginning, Prefix] = {}
        self.blocks = Blocks(0, 0)

    def run(self, answers: Sequence[Answer]) -> None:
        """Fill in the tokens of every answer.

        Raises MeasureError for logits that are no numbers, and when one row alone is too much
        for the memory.
        """
        for placed in arrange([answer.cached() for answer in answers]):
            answers[placed.index].beginning = placed.beginning
            self.queue.append(answers[placed.index])
        self._start_over()
        with torch.inference_mode(), slot_attention(self.slots.model):
            while self.queue or self.blocks.rows:
                self._advance()

    def _advance(self) -> None:
        try:
            self._make_room()
            self._admit()
            self._step()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            # The traceback would keep the tensors of the failed pass alive.
            error.__traceback__ = None
            self._do_with_less()

    def _start_over(self) -> None:
        """Forget what is cached. What was said stays; its rows are first in line again."""
        owners = [row.owner for row in self.blocks.rows if row.owner]
        self.queue.extendleft(reversed(owners))
        self.prefixes = {}
        num_held = max((answer.num_shared for answer in self.queue), default=0)
        budget = max(1, self.limits.cached_tokens - num_held)
        self.blocks = Blocks(budget, self.limits.block_tokens)

    def _do_with_less(self) -> None:
        num_rows = len(self.blocks.rows)
        self._start_over()
        if num_rows <= 1 or self.limits.slots == 1:
            raise MeasureError(
                f"{self.queue[0].name}: out of memory with a single row.",
                where=f"{self.queue[0].num_cached + 1} tokens so far",
                remedy="use a smaller max_gen_toks, or a device with more memory",
            )
        self.limits = self.limits.halved(num_rows)
        self._start_over()
        torch.cuda.empty_cache()

    # ------------------------------------------------------------------ rows

    def _make_room(self) -> None:
        """Room for one more token in every row; one that finds none waits for its turn again."""
        for row in self.blocks.rows:
            if row.length == row.block.num_columns and not self.blocks.widen(row):
                self.blocks.remove(row)
                self.queue.appendleft(row.owner)

    def _admit(self) -> None:
        """Give free rows to waiting answers, several at a time: one alone fills a pass badly."""
        num_rows = len(self.blocks.rows)
        wanted = min(len(self.queue), max(1, self.limits.slots // 8))
        room = self.limits.slots - num_rows >= wanted
        if num_rows and not (room and self.blocks.num_free >= self.blocks.budget // 4):
            return
        while self.queue and len(self.blocks.rows) < self.limits.slots:
            prefixes = self._prepare(self.queue[0].beginning)
            rows = [] if prefixes is None else self._place()
            if not rows:
                return
            tokens_BL = [row.owner.cached()[row.owner.num_shared :] for row in rows]
            self.slots.fill(rows, tokens_BL, prefixes or [])

    def _place(self) -> list[Row]:
        """Rows for the next answers that share a beginning and fit into one pass."""
        beginning = self.queue[0].beginning
        rows: list[Row] = []
        width = 0
        while self.queue and len(self.blocks.rows) < self.limits.slots:
            answer = self.queue[0]
            width = max(width, answer.num_cached - answer.num_shared)
            full = rows and (len(rows) + 1) * width > self.limits.prefill_tokens
            if full or answer.beginning is not beginning:
                break
            row = self._new_row(answer, answer.num_cached)
            if row is None:
                break
            rows.append(row)
            self.queue.popleft()
        return rows

    def _new_row(self, owner: Answer | None, length: int) -> Row | None:
        """A row within the budget, an eighth of it kept free for those that are at work."""
        spare = self.blocks.budget // 8 if self.blocks.rows else 0
        return self.blocks.place(owner, length, spare=spare)

    def _prepare(self, beginning: Beginning | None) -> list[Prefix] | None:
        """The keys and values of a beginning, in parts; None if there is no room to compute them.

        Those that it does not need are let go.
        """
        path = beginning.path() if beginning else []
        self.prefixes = {node: self.prefixes[node] for node in path if node in self.prefixes}
        prefixes: list[Prefix] = []
        for node in path:
            if node not in self.prefixes:
                start = prefixes[-1].end if prefixes else 0
                row = self._new_row(None, len(node.tokens))
                if row is None:
                    return None
                self.slots.fill([row], [node.tokens[start:]], prefixes)
                self.prefixes[node] = take(row, start)
                self.blocks.remove(row)
            prefixes.append(self.prefixes[node])
        return prefixes

    # ------------------------------------------------------------------ one step

    def _step(self) -> None:
        rows = self.blocks.rows
        logits_RV = self.slots.step(rows, [row.owner.newest for row in rows])
        chosen = _choose(logits_RV, [row.owner for row in rows])
        for row, token in zip(rows, chosen, strict=True):
            row.owner.tokens.append(token)
            if row.owner.finished():
                self.blocks.remove(row)


def _choose(logits_RV: Tensor, answers: Sequence[Answer]) -> list[int]:
    """The next token of each answer; MeasureError naming one whose logits are no numbers."""
    best_R1 = logits_RV.argmax(-1, keepdim=True)
    sound_R1 = logits_RV.gather(-1, best_R1).isfinite()
    chosen: list[int] = torch.where(sound_R1, best_R1, -1)[:, 0].tolist()
    for number, answer in enumerate(answers):
        if chosen[number] < 0:
            raise MeasureError(
                f"{answer.name}: the logits are no numbers.",
                where=f"after {len(answer.tokens)} generated tokens",
                remedy="the weights or the arithmetic overflow: try --set dtype=float32",
            )
        logits_1V = logits_RV[number : number + 1]
        if answer.constraint:
            logits_1V = answer.constraint.allow(logits_1V, answer.tokens)
            chosen[number] = int(logits_1V.argmax())
        if answer.sampler:
            said = [*answer.prompt, *answer.tokens]
            chosen[number] = answer.sampler.choose(logits_1V, said, answer.dice)
    return chosen
