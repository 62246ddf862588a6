"""The decoding loop: rows refilled as they finish, within a budget of cached tokens."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from pyr.engines.fast.sampling import Constraint, Sampler
from pyr.engines.fast.score import is_out_of_memory
from pyr.engines.fast.slots import Blocks, Prefix, Row, Slots, slot_attention, take
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
        for placed in arrange_prompts([answer.cached() for answer in answers]):
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


# ------------------------------------------------------------------
# Where an answer ends, and the text that it then is.


# More than any text needs: some decoders drop or merge what stands first in a window.
_MARGIN_TOKENS = 4


class Stops:
    """The ends of one kind of request: token ids, and strings looked for in the decoded tail."""

    def __init__(self, tokenizer: Any, until: Sequence[str], eos_ids: Iterable[int]) -> None:
        special = {
            str(token): number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }
        self.tokenizer = tokenizer
        self.until = [word for word in until if word]
        self.ids = frozenset(eos_ids) | {special[word] for word in self.until if word in special}
        # A special token ends the answer by its id; as mere letters it is cut from the text below.
        self._strings = [word for word in self.until if word not in special]
        self._mixed = []
        for word in self._strings:
            if any(name in word for name in special):
                self._mixed.append(word)
        # A token holds at least one byte, so that a word spans at most as many tokens as bytes.
        longest = max((len(word.encode()) for word in self._strings), default=0)
        self._window = longest + _MARGIN_TOKENS

    def reached(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these generated tokens ends the answer."""
        if tokens[-1] in self.ids:
            return True
        if not self._strings or not self._found(tokens[-self._window :]):
            return False
        # The whole text decides: the first token of a window may decode to something else alone.
        return self._found(tokens)

    def _found(self, tokens: Sequence[int]) -> bool:
        text = self._kept(tokens)
        return any(word in text for word in self._strings)

    def text(self, tokens: Sequence[int]) -> str:
        """The answer as lm-eval's HFLM gives it: no special tokens, cut at the first stop.

        HFLM looks for stops after it has removed the special tokens, and so never finds one that
        holds a special token (huggingface.py, `generate_until`); here such a stop cuts too.
        """
        from lm_eval.models.utils import postprocess_generated_text

        text = self._cut(tokens) if self._mixed else self._plain(tokens)
        return str(postprocess_generated_text(text, self.until, None))

    def _plain(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _cut(self, tokens: Sequence[int]) -> str:
        """The text before the first stop that holds a special token."""
        whole = self._kept(tokens)
        ends = [whole.find(word) for word in self._mixed if word in whole]
        if not ends:
            return self._plain(tokens)
        end, count = min(ends), len(tokens)
        while count and len(before := self._kept(tokens[:count])) > end:
            count -= 1
        before = self._kept(tokens[:count])
        return self._plain(tokens[:count]) + whole[len(before) : end]

    def _kept(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=False))


# ------------------------------------------------------------------
# Which prompts begin alike, and the order in which each common beginning is computed once.


# A pass of its own for a beginning costs about what 30 tokens cost inside a larger pass
# (135M parameters on a CPU); below twice that, sharing is not worth it.
MIN_SAVED_TOKENS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """Tokens that several prompts begin with; `parent` is a shorter beginning of the same."""

    tokens: tuple[int, ...]
    parent: Beginning | None

    def path(self) -> list[Beginning]:
        """From the shortest beginning down to this one."""
        nodes: list[Beginning] = []
        node: Beginning | None = self
        while node:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


@dataclass(frozen=True, slots=True)
class Placed:
    """Prompt number `index`, and the longest beginning that it shares."""

    index: int
    beginning: Beginning | None


def arrange_prompts(prompts: Sequence[Sequence[int]]) -> list[Placed]:
    """All prompts, in an order in which at most one path of beginnings is needed at a time.

    A beginning's own prompts come before those of longer beginnings; among them the longest
    first, so that neighbours are padded little and no long answer is left alone at the end.
    """
    leaves: dict[Beginning | None, list[int]] = defaultdict(list)
    order = sorted(range(len(prompts)), key=lambda index: tuple(prompts[index]))
    stack: list[tuple[list[int], Beginning | None]] = [(order, None)]
    visited: list[Beginning | None] = [None]
    while stack:
        members, parent = stack.pop()
        num_shared = _num_common(prompts[members[0]], prompts[members[-1]]) if members else 0
        node = _beginning(prompts, members, num_shared, parent)
        if node is not parent:
            visited.append(node)
        branches = _branches(prompts, members, num_shared)
        leaves[node] += [branch[0] for branch in branches if len(branch) == 1]
        several = [branch for branch in branches if len(branch) > 1]
        several.sort(key=lambda branch: max(len(prompts[index]) for index in branch))
        stack += [(branch, node) for branch in several]
    return [
        Placed(index, node)
        for node in visited
        for index in sorted(leaves[node], key=lambda index: -len(prompts[index]))
    ]


def _beginning(
    prompts: Sequence[Sequence[int]], members: list[int], num_shared: int, parent: Beginning | None
) -> Beginning | None:
    """The members' common beginning if it is worth a pass of its own, else their parent's."""
    num_new = num_shared - (len(parent.tokens) if parent else 0)
    if (len(members) - 1) * num_new < MIN_SAVED_TOKENS:
        return parent
    return Beginning(tuple(prompts[members[0]][:num_shared]), parent)


def _branches(
    prompts: Sequence[Sequence[int]], members: list[int], num_shared: int
) -> list[list[int]]:
    """Members by the token after the common ones; each that ends there is a branch alone."""
    branches: list[list[int]] = []
    for following, group in groupby(members, key=lambda i: prompts[i][num_shared : num_shared + 1]):
        branch = list(group)
        branches += [branch] if following else [[index] for index in branch]
    return branches


def _num_common(first: Sequence[int], last: Sequence[int]) -> int:
    """Tokens common to the two, and so to all that sort between them."""
    for number, (left, right) in enumerate(zip(first, last, strict=False)):
        if left != right:
            return number
    return min(len(first), len(last))
