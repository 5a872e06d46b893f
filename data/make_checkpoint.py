"""Make the embedded base checkpoint `data/checkpoints/bart-tiny-ko`: a tokenizer and a small BART, pre-trained.

    python data/make_checkpoint.py                 about 110 CPU s (one thread); writes 1.1 MB
    python data/make_checkpoint.py --output DIR    elsewhere
    python data/make_checkpoint.py --steps 50      a quick, worse one

Why: from fresh weights a model this small needs hundreds of steps before it copies a single fact, far too slow for a
trial. Pre-trained by denoising, as BART itself is (spans hidden behind `<mask>`, utterances shuffled), it reaches its
best within 150 steps. The text comes from `make_corpus.py` with other seeds; dialogues and summaries are drawn from
different seeds and shown alone, so the model has never seen a dialogue beside its summary.

`sweepkit.json` beside the weights holds the hash of the vocabulary: a tokenizer trained anew under kept weights is
refused by the trainer. The same machine and library versions give the same weights; others may differ in the last bits.
"""

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from make_corpus import Dice, example  # noqa: E402 - a sibling script, importable only after the line above

from sweepkit.training.checkpoints import METADATA_NAME, VOCABULARY_KEY, vocabulary_sha256  # noqa: E402
from sweepkit.training.text import normalize  # noqa: E402

OUTPUT = HERE / "checkpoints" / "bart-tiny-ko"
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # BART's order: ids 0 to 4
SPEAKERS = tuple(f"#Person{number}#" for number in range(1, 8))
VOCABULARY_SIZE = 1000
DIALOGUES, SUMMARIES = 4000, 4000
DIALOGUE_SEED, SUMMARY_SEED, TRAINING_SEED = 77, 78, 79
STEPS, BATCH, PEAK_RATE = 1200, 16, 3e-3


def texts() -> tuple[list[str], list[str]]:
    """Return dialogues and summaries of different seeds: no summary belongs to any of the dialogues."""
    dice = Dice(DIALOGUE_SEED)
    dialogues = [normalize_lines(example(dice)[0]) for _ in range(DIALOGUES)]
    dice = Dice(SUMMARY_SEED)
    summaries = [normalize(example(dice)[1]) for _ in range(SUMMARIES)]
    return dialogues, summaries


def normalize_lines(dialogue: str) -> str:
    """Return the dialogue with every utterance normalized, still one a line."""
    return "\n".join(normalize(line) for line in dialogue.splitlines())


def make_tokenizer(corpus: list[str]) -> Any:
    """Return a BPE tokenizer of VOCABULARY_SIZE tokens as transformers loads it.

    `prepend_scheme="first"`: with "always", "#Person1#은" comes back as "#Person1# 은" and word ROUGE suffers.
    Speakers are ordinary added tokens: special ones would be dropped by `skip_special_tokens`, from predictions and
    references alike, and nobody would see that the model takes one person for the other.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " ")])
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([metaspace, pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(SPEAKERS), special_tokens=special, show_progress=False, min_frequency=2
    )
    tokenizer.add_special_tokens(special)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in SPEAKERS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )


def make_model(vocabulary_size: int) -> Any:
    """Return a BART of 0.26 million parameters; at init_std's default .02 so narrow a model ignores its encoder."""
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=vocabulary_size,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_position_embeddings=256,
        init_std=0.05,
        dropout=0.1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
    )
    return BartForConditionalGeneration(config)


def corrupt(ids: list[int], mask_id: int, dice: random.Random) -> list[int]:
    """Return the ids with about a third hidden: each span of one to six becomes one mask."""
    kept: list[int] = []
    position = 0
    while position < len(ids):
        if dice.random() < 0.1:
            position += dice.randint(1, 6)
            kept.append(mask_id)
        else:
            kept.append(ids[position])
            position += 1
    return kept


def noisy_pair(text: str, tokenizer: Any, dice: random.Random) -> tuple[list[int], list[int]]:
    """Return (input ids, label ids): utterances shuffled half the time, spans hidden; the target is whole."""
    lines = text.split("\n")
    target = tokenizer(" ".join(lines), add_special_tokens=False)["input_ids"]
    if len(lines) > 1 and dice.random() < 0.5:
        dice.shuffle(lines)
    source = tokenizer(" ".join(lines), add_special_tokens=False)["input_ids"]
    return [0, *corrupt(source, tokenizer.mask_token_id, dice)[:254], 2], [*target[:254], 2]


def padded(rows: list[list[int]], value: int) -> Any:
    """Return the rows as one tensor, filled up at the right."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


def pretrain(model: Any, tokenizer: Any, corpus: list[str], steps: int) -> float:
    """Train by denoising with AdamW, a tenth of warm-up and a linear descent; return the last 50 steps' mean loss."""
    import torch

    dice = random.Random(TRAINING_SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    warm = max(1, steps // 10)
    losses: list[float] = []
    model.train()
    for step in range(steps):
        rate = min((step + 1) / warm, (steps - step) / (steps - warm))
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate
        pairs = [noisy_pair(dice.choice(corpus), tokenizer, dice) for _ in range(BATCH)]
        inputs = padded([source for source, _ in pairs], 1)
        labels = padded([target for _, target in pairs], -100)
        loss = model(input_ids=inputs, attention_mask=inputs.ne(1).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}/{steps}: loss {sum(losses[-100:]) / len(losses[-100:]):.3f}", flush=True)
    return math.fsum(losses[-50:]) / len(losses[-50:])


def main(argv: list[str] | None = None) -> int:
    """Train and save; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder to write (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (default: %(default)s)")
    options = parser.parse_args(argv)
    import torch

    torch.set_num_threads(1)  # the order of sums, and so the weights, would depend on the number of threads
    torch.manual_seed(TRAINING_SEED)
    started = time.process_time()
    dialogues, summaries = texts()
    tokenizer = make_tokenizer(dialogues + summaries)
    model = make_model(len(tokenizer))
    loss = pretrain(model, tokenizer, dialogues + summaries, options.steps)
    model.save_pretrained(options.output)
    (options.output / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(options.output)
    record = {
        VOCABULARY_KEY: vocabulary_sha256(tokenizer.get_vocab()),
        "made_by": "data/make_checkpoint.py",
        "steps": options.steps,
        "parameters": model.num_parameters(),
        "denoising_loss": round(loss, 4),
        "torch": torch.__version__.split("+")[0],
    }
    (options.output / METADATA_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{options.output}: {model.num_parameters():,} parameters, {time.process_time() - started:.0f} CPU s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
