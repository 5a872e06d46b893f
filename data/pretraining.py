"""Pre-training of the embedded checkpoints by denoising: a text is damaged, the model writes it whole.

Source of the idea: M. Lewis et al. (2020), BART: Denoising Sequence-to-Sequence Pre-training, section 2.2 (text
infilling, sentence permutation, token deletion). For a decoder-only model the same task is one sequence, the damaged
text as the prompt and the whole one as its continuation, with the loss on the continuation: so it learns to copy from
its prompt, which plain language modelling teaches a model of this size hardly at all.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

IGNORED = -100  # the label that torch's cross entropy leaves out
LONGEST = 254  # tokens of a text, so that it and two marks fit 256 positions

Ids = list[int]
Noise = Callable[[str, random.Random], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a family is pre-trained.

    Args:
        causal: One sequence, prompt and continuation, rather than encoder and decoder.
        begin: Tokens before the damaged text.
        end: Tokens after it; the whole text always ends with the tokenizer's end of sequence.
        noise: Damages the text itself, before spans of its tokens are hidden.
        steps: Optimizer steps, at least 2.
        peak_rate: Learning rate after the warm-up.
        batch: Texts a step.
        alike: A step's texts come all from one of the corpora: dialogues are three times as long as summaries, and a
            batch of both is a third padding.
        dropout: Whether the model's own is on. The damage is never twice the same, so a model this small cannot
            overfit, and without dropout it learns faster.
        seed: Of everything random in it, except dropout, which is torch's.
    """

    causal: bool
    begin: tuple[str, ...]
    end: tuple[str, ...]
    noise: Noise
    steps: int
    peak_rate: float = 3e-3
    batch: int = 16
    alike: bool = False
    dropout: bool = True
    seed: int = 79


def shuffled_lines(text: str, dice: random.Random) -> str:
    """Return the text on one line, its utterances in another order half the time."""
    lines = text.split("\n")
    if len(lines) > 1 and dice.random() < 0.5:
        dice.shuffle(lines)
    return " ".join(lines)


def scattered_words(text: str, dice: random.Random) -> str:
    """Return `shuffled_lines` of a dialogue; of a summary, half the time, two thirds of its words in any order.

    A dialogue names the facts in another order than its summary does, and says little else of it. To make the
    sentence from its scattered words is as near to that as unpaired text comes.
    """
    if "\n" in text or dice.random() < 0.5:
        return shuffled_lines(text, dice)
    words = [word for word in text.split() if dice.random() < 0.7]
    dice.shuffle(words)
    return " ".join(words)


def corrupt(ids: Ids, mask_id: int, dice: random.Random) -> Ids:
    """Return the ids with about a third hidden: each span of one to six becomes one mask."""
    kept: Ids = []
    position = 0
    while position < len(ids):
        if dice.random() < 0.1:
            position += dice.randint(1, 6)
            kept.append(mask_id)
        else:
            kept.append(ids[position])
            position += 1
    return kept


def noisy_pair(text: str, tokenizer: Any, recipe: Recipe, dice: random.Random) -> tuple[Ids, Ids]:
    """Return (ids of the damaged text between its marks, ids of the whole text and its end)."""
    target = tokenizer(" ".join(text.split("\n")), add_special_tokens=False)["input_ids"]
    source = tokenizer(recipe.noise(text, dice), add_special_tokens=False)["input_ids"]
    begin, end = (tokenizer.convert_tokens_to_ids(list(marks)) for marks in (recipe.begin, recipe.end))
    damaged = corrupt(source, tokenizer.mask_token_id, dice)[:LONGEST]
    return [*begin, *damaged, *end], [*target[:LONGEST], tokenizer.eos_token_id]


def padded(rows: Sequence[Ids], value: int) -> Any:
    """Return the rows as one tensor of shape (rows, longest), filled up at the right."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


def batch_of(pairs: Sequence[tuple[Ids, Ids]], pad_id: int, *, causal: bool, positions: int = 256) -> dict[str, Any]:
    """Return what the model is called with; a causal sequence is cut to the positions that the model has."""
    if causal:
        inputs = [[*source, *target][:positions] for source, target in pairs]
        labels = [[*[IGNORED] * len(source), *target][:positions] for source, target in pairs]
    else:
        inputs, labels = [source for source, _ in pairs], [target for _, target in pairs]
    ids = padded(inputs, pad_id)
    return {"input_ids": ids, "attention_mask": ids.ne(pad_id).long(), "labels": padded(labels, IGNORED)}


def pretrain(model: Any, tokenizer: Any, corpora: Sequence[Sequence[str]], recipe: Recipe) -> float:
    """Train by denoising with AdamW, a tenth of warm-up and a linear descent; return the last 50 steps' mean loss."""
    import torch

    dice = random.Random(recipe.seed)
    steps = recipe.steps
    sources = corpora if recipe.alike else [[text for corpus in corpora for text in corpus]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.peak_rate, weight_decay=0.01)
    warm = max(1, steps // 10)
    losses: list[float] = []
    model.train(recipe.dropout)  # dropout is all that the two modes differ in
    for step in range(steps):
        rate = min((step + 1) / warm, (steps - step) / (steps - warm))
        for group in optimizer.param_groups:
            group["lr"] = recipe.peak_rate * rate
        source = dice.choice(sources) if recipe.alike else sources[0]
        pairs = [noisy_pair(dice.choice(source), tokenizer, recipe, dice) for _ in range(recipe.batch)]
        loss = model(**batch_of(pairs, tokenizer.pad_token_id, causal=recipe.causal)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}/{steps}: loss {sum(losses[-100:]) / len(losses[-100:]):.3f}", flush=True)
    return math.fsum(losses[-50:]) / len(losses[-50:])
