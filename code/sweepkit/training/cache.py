"""Tokenized data, made once and shared by every run: folders under outputs/cache, read memory-mapped.

A data set is one folder, named by the hash of all that decides its content: the file's bytes, the columns, the
tokenizer, the lengths, the prompt, the normalization. Which of its rows are used, and how a split divides them, does
not: runs with other seeds and limits share it. It appears in one step (a rename), so a reader sees all of it or
nothing. Builders of the same folder wait for each other on a lock file and the second finds it made. A folder that is
damaged is made anew. A cache that cannot be written is an error: without one, every run of a sweep would tokenize.
"""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sweepkit.errors import DataError
from sweepkit.files import locked, replacing_folder
from sweepkit.training.data import Columns, Example, read
from sweepkit.training.fingerprint import file_sha256, hash_now
from sweepkit.training.text import normalize
from sweepkit.training.tokens import Writer, is_whole

_FORMAT = 3  # raise it when the layout of `tokens`, or what goes into it, changes
PLACE = "{dialogue}"  # where a prompt takes the dialogue
_ROWS_AT_ONCE = 1000
_AROUND = 8  # tokens at most that a tokenizer puts around a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides the tokens of a data file, except the file and the tokenizer.

    Args:
        columns: What is read of it.
        delimiter: Of a CSV file; None finds it out.
        encoder_max_len: Most tokens of a dialogue.
        decoder_max_len: Most tokens of a summary, its end among them.
        normalize_text: Whether texts are made uniform first.
        prompt: Text with one "{dialogue}" in it that the model is given; None for the dialogue alone.
        encodes: An encoder reads the prompt: the tokenizer's special tokens stand around it, and encoder_max_len holds
            for all of it, of which the dialogue is cut.
    """

    columns: Columns
    delimiter: str | None = None
    encoder_max_len: int
    decoder_max_len: int
    normalize_text: bool
    prompt: str | None = None
    encodes: bool = False


def tokenizer_sha256(tokenizer: Any) -> str:
    """Return the hash of everything a tokenizer does, as its serialized form has it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        settings: dict[str, Any] = {
            "vocabulary": tokenizer.get_vocab(),
            "options": repr(sorted(getattr(tokenizer, "init_kwargs", {}).items())),
            "library": importlib.metadata.version("transformers"),
        }
    else:
        # How it cuts and pads is a state that its last call left there; ours is part of the recipe.
        settings = {**json.loads(backend.to_str()), "truncation": None, "padding": None}
        settings["library"] = importlib.metadata.version("tokenizers")
    settings["end"] = tokenizer.eos_token_id
    settings["cut"] = getattr(tokenizer, "truncation_side", "right")
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(f"{type(tokenizer).__name__} {text}".encode()).hexdigest()


def folder_for(file: Path, tokenizer: Any, recipe: Recipe, cache_dir: Path) -> Path:
    """Return the folder of the tokenized form of `file`, whether it exists or not.

    Raises:
        DataError: The file cannot be read.
    """
    return cache_dir / _name(file_sha256(file, cache_dir), file, tokenizer_sha256(tokenizer), recipe)


def _name(content: str, file: Path, tokenizer: str, recipe: Recipe) -> str:
    """Return the folder's name for a file of this content; its suffix counts: it decides how the file is read."""
    parts = [_FORMAT, content, file.suffix.lower(), tokenizer, asdict(recipe)]
    return f"tokens-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]}"


def tokenized(
    file: Path, tokenizer: Any, recipe: Recipe, cache_dir: Path, *, tokenizer_hash: str | None = None
) -> Path:
    """Return the folder with the tokens of a data file, made now if nobody made it before.

    Args:
        file: The data.
        tokenizer: Of the model.
        recipe: How they are made.
        cache_dir: Where folders are kept.
        tokenizer_hash: What `tokenizer_sha256` gave, from a caller with several files: a large vocabulary takes time.

    Raises:
        DataError: The file is malformed or changes while it is read, the tokenizer has no end token, or the cache
            cannot be written.
    """
    content = file_sha256(file, cache_dir)
    folder = cache_dir / _name(content, file, tokenizer_hash or tokenizer_sha256(tokenizer), recipe)
    if is_whole(folder):
        return folder
    for _ in read(file, recipe.columns, recipe.delimiter):
        pass  # whatever is wrong in the file is said before the long work begins
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with locked(cache_dir / f"{folder.name}.lock"):
            if not is_whole(folder):
                _build(file, tokenizer, recipe, folder, content)
    except OSError as error:
        raise DataError(
            f"{cache_dir}: tokenized data must be written here, got: {error.strerror or error}; free space, make the "
            "folder writable, or name another one in the environment's SWEEPKIT_CACHE_DIR"
        ) from None
    return folder


def _build(file: Path, tokenizer: Any, recipe: Recipe, folder: Path, content: str) -> None:
    """Tokenize into a folder beside, then put it in place. The caller holds the folder's lock."""
    for left in [folder, *folder.parent.glob(f"{folder.name}.*")]:
        if left.is_dir():  # damaged, or left by a builder that was killed: nobody else builds under our lock
            shutil.rmtree(left)
    with replacing_folder(folder) as building:
        with Writer(building, len(recipe.columns.references)) as writer:
            _write(writer, read(file, recipe.columns, recipe.delimiter), tokenizer, recipe)
        # It is the bytes just read that the folder's name must speak of.
        if hash_now(file) != content:
            raise DataError(f"{file}: must stay as it is while it is read, but it changed; start again")


def _write(writer: Writer, examples: Iterator[Example], tokenizer: Any, recipe: Recipe) -> None:
    """Write the examples, a thousand at a time."""
    clean = normalize if recipe.normalize_text else str
    while batch := list(islice(examples, _ROWS_AT_ONCE)):
        dialogues = [clean(example.dialogue) for example in batch]
        references = [[clean(text) for text in example.references] for example in batch]
        inputs = _inputs(tokenizer, recipe, dialogues)
        labels = _labels(tokenizer, recipe, [texts[0] for texts in references])
        wholes = zip(
            _lengths(tokenizer, dialogues, inputs, recipe.encoder_max_len),
            _lengths(tokenizer, [texts[0] for texts in references], labels, recipe.decoder_max_len),
            strict=True,
        )
        for row in zip(inputs, labels, dialogues, references, wholes, strict=True):
            writer.add(*row)


def _lengths(tokenizer: Any, texts: list[str], ids: list[list[int]], most: int) -> list[int]:
    """Return how many tokens each text has uncut, those around it included.

    Only what may have been cut is counted again: a text of fewer bytes than tokens are allowed was not.
    """
    found = [len(row) for row in ids]
    long = [at for at, row in enumerate(ids) if len(row) >= most and len(texts[at].encode()) >= most - _AROUND]
    if long:
        uncut = tokenizer([texts[at] for at in long], add_special_tokens=False)["input_ids"]
        for at, whole in zip(long, uncut, strict=True):
            found[at] = max(found[at], len(whole))
    return found


def _inputs(tokenizer: Any, recipe: Recipe, dialogues: list[str]) -> list[list[int]]:
    """Return the token ids that the model is given: the dialogues, cut; in the prompt, when there is one, uncut."""
    most = recipe.encoder_max_len
    if recipe.prompt is None:
        ids: list[list[int]] = tokenizer(dialogues, truncation=True, max_length=most)["input_ids"]
        return ids
    before, _, after = recipe.prompt.partition(PLACE)
    head, tail = (tokenizer(text, add_special_tokens=False)["input_ids"] if text else [] for text in (before, after))
    if recipe.encodes:
        first, last = _frame(tokenizer)
        head, tail = [*first, *head], [*tail, *last]
        most -= len(head) + len(tail)
        if most < 1:
            rule = f"must leave room for a dialogue among {recipe.encoder_max_len} tokens (tokenizer.encoder_max_len)"
            raise DataError(f"tokenizer.prompt: {rule}, got {len(head) + len(tail)} tokens of its own")
    cut = tokenizer(dialogues, truncation=True, max_length=most, add_special_tokens=False)["input_ids"]
    return [[*head, *ids, *tail] for ids in cut]


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    start = next(at for at in range(len(whole) + 1) if whole[at : at + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def _labels(tokenizer: Any, recipe: Recipe, summaries: list[str]) -> list[list[int]]:
    """Return the token ids of the summaries, cut, and the end token."""
    if tokenizer.eos_token_id is None:
        raise DataError("model.name: the checkpoint's tokenizer must have an end token (eos_token), got none")
    most = recipe.decoder_max_len - 1
    # Labels end with </s> whatever the tokenizer adds by itself: a model that never sees an end never ends.
    targets: Sequence[list[int]] = tokenizer(summaries, truncation=True, max_length=most, add_special_tokens=False)[
        "input_ids"
    ]
    return [[*ids, tokenizer.eos_token_id] for ids in targets]
