"""Make the embedded base checkpoints `data/checkpoints/{bart,t5,gpt2}-tiny-ko`: tokenizer and small pre-trained model.

    python data/make_checkpoint.py --family t5       make one anew; several may be named, all by default
    python data/make_checkpoint.py --output DIR      below DIR instead
    python data/make_checkpoint.py --steps 50        quick, worse ones

Cost with one thread: BART 110 CPU s (1.1 MB), T5 180 (1.0 MB), GPT-2 175 (0.9 MB).

Why: from fresh weights a model this small needs hundreds of steps before it copies a single fact, far too slow for a
trial. Pre-trained by denoising (see `pretraining.py`), it reaches its best within 150 steps. The text comes from
`make_corpus.py` with other seeds; dialogues and summaries are drawn from different seeds and shown alone, so no model
has ever seen a dialogue beside its summary.

`sweepkit.json` beside the weights holds the hash of the vocabulary: a tokenizer trained anew under kept weights is
refused by the trainer. For a decoder-only model it also holds the form of the prompt, `<s>{dialogue}<sep>`; the
summary follows it, and `</s>` ends it. The same machine and library versions give the same weights; others may differ
in the last bits, so what was measured with the committed ones holds for them only: do not make them anew lightly.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from make_corpus import Dice, example  # noqa: E402 - a sibling script, importable only after the line above
from pretraining import Recipe, pretrain, scattered_words, shuffled_lines  # noqa: E402

from sweepkit.training.checkpoints import METADATA_NAME, VOCABULARY_KEY, vocabulary_sha256  # noqa: E402
from sweepkit.training.text import normalize  # noqa: E402

OUTPUT = HERE / "checkpoints"
SPEAKERS = tuple(f"#Person{number}#" for number in range(1, 8))
VOCABULARY_SIZE = 1000
POSITIONS = 256
DIALOGUES, SUMMARIES = 4000, 4000
DIALOGUE_SEED, SUMMARY_SEED, TRAINING_SEED = 77, 78, 79


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


def bart_model(vocabulary_size: int) -> Any:
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
        max_position_embeddings=POSITIONS,
        init_std=0.05,
        dropout=0.1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
    )
    return BartForConditionalGeneration(config)


def t5_model(vocabulary_size: int) -> Any:
    """Return a T5 of 0.24 million parameters with the gated layers of T5 1.1, as ke-t5 has."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=vocabulary_size,
        d_model=64,
        d_kv=16,
        d_ff=96,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.1,
        pad_token_id=0,
        eos_token_id=1,
    )
    config.decoder_start_token_id = 0
    return T5ForConditionalGeneration(config)


def gpt2_model(vocabulary_size: int) -> Any:
    """Return a GPT-2 of 0.22 million parameters."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary_size,
        n_positions=POSITIONS,
        n_embd=64,
        n_layer=4,
        n_head=4,
        n_inner=128,
        initializer_range=0.05,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return GPT2LMHeadModel(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What distinguishes one architecture's checkpoint.

    Args:
        special: The special tokens in the order of their ids, from 0.
        roles: Which of them is which, by transformers' name for it, e.g. {"eos_token": "</s>"}.
        single: How the tokenizer surrounds one text by itself, "$A" being the text; None: not at all.
        pair: Likewise for two texts, "$A" and "$B".
        model: Makes the untrained model of a vocabulary's size.
        recipe: How it is pre-trained.
        prompt: The form in which a decoder-only model wants a dialogue; None for the others.
    """

    special: tuple[str, ...]
    roles: Mapping[str, str]
    single: str | None
    pair: str | None
    model: Callable[[int], Any]
    recipe: Recipe
    prompt: str | None = None


FAMILIES: Mapping[str, Family] = {
    "bart": Family(
        special=("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        roles={"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
        single="<s> $A </s>",
        pair="<s> $A </s> $B </s>",
        model=bart_model,
        recipe=Recipe(causal=False, begin=("<s>",), end=("</s>",), noise=shuffled_lines, steps=1200),
    ),
    "t5": Family(
        special=("<pad>", "</s>", "<unk>", "<mask>"),
        roles={"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
        single="$A </s>",
        pair="$A </s> $B </s>",
        model=t5_model,
        recipe=Recipe(
            causal=False,
            begin=(),
            end=("</s>",),
            noise=scattered_words,
            steps=2000,
            peak_rate=5e-3,
            alike=True,
            dropout=False,
        ),
    ),
    "gpt2": Family(
        special=("<s>", "</s>", "<pad>", "<unk>", "<mask>", "<sep>"),
        roles={
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "sep_token": "<sep>",
        },
        single=None,
        pair=None,
        model=gpt2_model,
        recipe=Recipe(
            causal=True,
            begin=("<s>",),
            end=("<sep>",),
            noise=scattered_words,
            steps=1500,
            alike=True,
            dropout=False,
        ),
        prompt="<s>{dialogue}<sep>",
    ),
}


def make_tokenizer(corpus: list[str], family: Family) -> Any:
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
    special = [AddedToken(token, special=True, normalized=False) for token in family.special]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(SPEAKERS), special_tokens=special, show_progress=False, min_frequency=2
    )
    tokenizer.add_special_tokens(special)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in SPEAKERS])
    if family.single is not None:
        marks = [(token, place) for place, token in enumerate(family.special) if token in family.single.split()]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=family.single, pair=family.pair, special_tokens=marks
        )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        mask_token="<mask>",
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
        **family.roles,
    )


def make_checkpoint(name: str, folder: Path, steps: int | None = None) -> None:
    """Train the family's checkpoint and write it.

    Args:
        name: A key of FAMILIES.
        folder: Is made when it does not exist.
        steps: Other than the recipe's; at least 2.
    """
    import torch

    torch.set_num_threads(1)  # the order of sums, and so the weights, would depend on the number of threads
    torch.manual_seed(TRAINING_SEED)
    started = time.process_time()
    family = FAMILIES[name]
    recipe = family.recipe if steps is None else replace(family.recipe, steps=steps)
    dialogues, summaries = texts()
    tokenizer = make_tokenizer(dialogues + summaries, family)
    model = family.model(len(tokenizer))
    loss = pretrain(model, tokenizer, (dialogues, summaries), recipe)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)
    record: dict[str, Any] = {VOCABULARY_KEY: vocabulary_sha256(tokenizer.get_vocab())}
    if family.prompt is not None:
        record["prompt"] = family.prompt
    record |= {
        "made_by": "data/make_checkpoint.py",
        "steps": recipe.steps,
        "parameters": model.num_parameters(),
        "denoising_loss": round(loss, 4),
        "torch": torch.__version__.split("+")[0],
    }
    (folder / METADATA_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{folder}: {model.num_parameters():,} parameters, {time.process_time() - started:.0f} CPU s")


def main(argv: list[str] | None = None) -> int:
    """Train and save; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--family", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES), help="which (default: all)"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder to write below (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="training steps (default: the family's own)")
    options = parser.parse_args(argv)
    if options.steps is not None and options.steps < 2:
        parser.error(f"--steps: must be at least 2, one to warm up and one to descend, got {options.steps}")
    for name in options.family:
        make_checkpoint(name, options.output / f"{name}-tiny-ko", options.steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
