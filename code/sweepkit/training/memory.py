"""A full memory answered within the run: fewer examples at once, then recomputed activations, then a clear failure.

What an optimizer step adds up to stays the same up to rounding, and so do data order and schedule. Only what is held at
once becomes less.
"""

import gc
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import torch
from transformers import Trainer, trainer_pt_utils
from transformers.loss.loss_utils import ForCausalLMLoss

from sweepkit.training.fits import Fits

_concat: Any = trainer_pt_utils.nested_concat  # has no types
IGNORED = -100  # labels and predictions that count for nothing
# What torch says besides torch.OutOfMemoryError: cuBLAS and cuDNN without room for their workspace, CPU, Apple's GPUs.
_TEXTS = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
)
_INSTEAD = (
    "shorten tokenizer.encoder_max_len, train adapters only (lora.enabled: true), use bf16 on a GPU, an optimizer that "
    "keeps less (optim: adafactor) or a smaller model"
)
Result = TypeVar("Result")
Given = ParamSpec("Given")
Batch = Mapping[str, Any]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory was short, of whatever device.

    >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    True
    >>> is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


def row_count(batch: Batch) -> int:
    """Return the examples of a batch: the length of its tensors; 0 without one that has rows."""
    return max((len(value) for value in batch.values() if isinstance(value, torch.Tensor) and value.dim()), default=0)


def split(batch: Batch, most: int | None) -> Iterator[dict[str, Any]]:
    """Yield the batch in parts of at most `most` examples, in order, as wide as the whole; None for one part.

    Tensors with a row for each example are cut, anything else goes into every part as it is.
    """
    rows = row_count(batch)
    if most is None or rows <= most:
        yield dict(batch)
        return
    for start in range(0, rows, most):
        yield {
            name: value[start : start + most]
            if isinstance(value, torch.Tensor) and value.dim() and len(value) == rows
            else value
            for name, value in batch.items()
        }


def unless_full(
    function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> tuple[Result | None, str]:
    """Return what a function returns and "", or None and what was said when memory was short; by then all is freed.

    The error itself holds the frames that it passed through, and these the activations that did not fit: none of it
    may live on while the step is tried again.
    """
    try:
        return function(*args, **kwargs), ""
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).partition("\n")[0] or type(error).__name__
        traceback.clear_frames(error.__traceback__)
    gc.collect()  # autograd's graph has cycles
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
    return None, said


class OutOfMemory(Trainer):
    """To be mixed into a Trainer, before it: `class Mine(OutOfMemory, Seq2SeqTrainer)`.

    **An optimizer step** that finds no memory is done again from its first micro-batch: its gradients are dropped (a
    backward pass that broke off has added some of them already), and its micro-batches, which the Trainer has all
    fetched, go through the model in parts of half the size. That size stays for the rest of the run. One example at a
    time is followed by gradient checkpointing, that by torch.OutOfMemoryError with what was tried.

    **Exactness.** The loss of a step is the sum over all its labels by their number, however they are cut: every part's
    mean is weighted with its share of the step's labels. (transformers 5.23 leaves this to models that take
    `num_items_in_batch`. BART and T5 take it and do not use it, so their accumulated micro-batches would count once
    each: a step of 2 × 8 would have twice the gradient of one of 16. Here they have the same. Its count for GPT-2 has a
    label too many in each row without a prompt; here it has not.) Dropout draws other
    numbers once a batch is cut; the order of the data does not hang on them, its sampler has a generator of its own.

    **Mixed precision.** fp16's scaler changes its scale only in the optimizer's step, never in a backward pass, so a
    step done over begins with the scale it had. An fp16 gradient that overflows skips the step as it always does.

    **Evaluation** answers likewise, for itself: parts of half the size, outputs joined again, the loss weighted.

    **Several devices** (processes, or one process with several GPUs): one of them alone cannot change its steps
    without the others waiting for ever, so there the error is raised, with a hint.

    **Later runs** of a sweep begin with what an earlier one was left with, where `fits` knows of it.

    Args:
        say: Takes one line for the user at each answer.
        adapt: False raises the error at once.
        fits: What other runs found, and where this one notes what it finds; None for neither.
        args, kwargs: As for the Trainer.
    """

    def __init__(
        self, *args: Any, say: Callable[[str], None], adapt: bool = True, fits: Fits | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._say = say
        self._fits = fits
        self._learned_from: str | None = None  # the run that found how many examples at once fit
        self._alone = self.args.world_size == 1 and self.args.n_gpu <= 1 and self.compute_loss_func is None
        self._adapt = adapt
        if self._alone:
            self.model_accepts_loss_kwargs = True  # so that labels are counted; compute_loss weights with the count
            self._loss_shifts_labels = _shifts_labels(self.accelerator.unwrap_model(self.model))
        self._events = 0
        self._most: int | None = None  # examples at once in training, None as configured
        self._most_eval: int | None = None
        self._fetched: Sequence[Batch] = ()  # the micro-batches of the optimizer step under way
        self._made = 0  # how many of them have their gradients
        self._share = 1.0  # of its micro-batch's examples, that the part under way has

    def out_of_memory(self) -> dict[str, Any] | None:
        """Return what was done about full memory, as it stands in the result file; None when nothing had to be."""
        if not self._events and self._learned_from is None:
            return None
        size, steps = self.args.per_device_train_batch_size, self.args.gradient_accumulation_steps
        most = min(self._most or size, size)
        learned = {} if self._learned_from is None else {"learned_from": self._learned_from}
        return {
            "events": self._events,
            **learned,
            "from": size,
            "per_device_train_batch_size": most,
            "gradient_accumulation_steps": steps * -(-size // most),
            "gradient_checkpointing": self._checkpointing(),
            "per_device_eval_batch_size": min(self._most_eval or self.args.eval_batch_size, self.args.eval_batch_size),
        }

    def adapted(self) -> dict[str, Any]:
        """Return what was done about full memory so that another process can go on with it; JSON values."""
        checkpointing = self._checkpointing()
        return {
            "events": self._events,
            "most": self._most,
            "most_eval": self._most_eval,
            "checkpointing": checkpointing,
        }

    def adapt_as(self, done: Mapping[str, Any]) -> None:
        """Go on with what `adapted` returned."""
        self._events, self._most, self._most_eval = done["events"], done["most"], done["most_eval"]
        if done["checkpointing"] and not self._checkpointing():
            self._checkpoint_activations()

    # -- training -----------------------------------------------------------------------------------------------------

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; an error about memory that could not be answered says what to do instead."""
        self._begin_with_what_fits()
        try:
            return super().train(*args, **kwargs)
        except RuntimeError as error:
            if is_out_of_memory(error) and "sweepkit:" not in str(error):
                error.add_note(f"sweepkit: {self._why_not()}; {_INSTEAD}")
            raise

    def _begin_with_what_fits(self) -> None:
        """Begin with as many examples at once as an earlier run was left with."""
        size = self.args.per_device_train_batch_size
        known = self._fits.known(size) if self._fits is not None and self._alone and self._adapt else None
        if known is not None:
            self._most, self._learned_from = known.fits, known.run
            steps = self.args.gradient_accumulation_steps * -(-size // known.fits)
            self._say(
                f"run {known.run} found no memory for {known.refused} examples at once; beginning with {known.fits} at "
                f"once and {steps} accumulated (same effective batch, same schedule)"
            )

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Fetch the micro-batches of the next optimizer step, and keep hold of them until the step after."""
        batches, count = super().get_batch_samples(*args, **kwargs)
        self._fetched, self._made = batches, 0
        return batches, count

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Add the gradients of one micro-batch; return its loss, weighted as its gradients are."""
        if not (self._alone and self._adapt):
            return super().training_step(model, inputs, num_items_in_batch)
        due: list[Batch] = [inputs]
        while True:
            loss, failure = unless_full(self._add_gradients, model, due, num_items_in_batch)
            if loss is not None:
                self._made += 1
                return loss
            self._make_room(failure, max(map(row_count, due)))
            # The pass that broke off has added to some gradients: begin the whole optimizer step over. The losses of
            # its earlier micro-batches are booked already, and the Trainer books what this one returns.
            model.zero_grad()
            due = [*self._fetched[: self._made], inputs]

    def _add_gradients(self, model: Any, batches: Sequence[Batch], count: Any) -> torch.Tensor:
        """Add the gradients of micro-batches, each in parts that fit; return the loss of the last."""
        loss = torch.zeros(())
        for batch in batches:
            losses = [
                self._add_part(model, part, row_count(part) / max(1, row_count(batch)), count)
                for part in split(batch, self._most)
            ]
            loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        return loss

    def _add_part(self, model: Any, part: dict[str, Any], share: float, count: Any) -> torch.Tensor:
        """Add the gradients of a part with this share of its micro-batch's examples; return its weighted loss."""
        labels = None if share == 1.0 else self._labels(part)
        if labels is not None and not int(labels):
            return torch.zeros((), device=self.args.device)  # the mean over no labels is not a number
        self._share = share
        return super().training_step(model, part, count)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the mean loss over the labels of `inputs`; in training, times their share of the step's labels."""
        if not self._alone:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = self._labels(inputs) if num_items_in_batch is not None else None  # the smoother takes them out
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if model.training and labels is not None:
            loss = loss * (labels / num_items_in_batch)
        elif model.training:
            loss = loss * self._share  # nothing to count: the Trainer divides by the accumulated micro-batches
        return (loss, outputs) if return_outputs else loss

    def _labels(self, batch: Batch) -> torch.Tensor | None:
        """Return how many labels of a batch count, as the Trainer counts them; None where there are none to count."""
        return cast("torch.Tensor | None", self._get_num_items_in_batch([batch], self.args.device))

    def _make_room(self, failure: str, rows: int) -> None:
        """Take the next answer to a failure with `rows` examples given; raises OutOfMemoryError after the last."""
        self._events += 1
        most = min(self._most or rows, rows)
        step = f"out of memory at step {self.state.global_step + 1}:"
        if most > 1:
            self._most = -(-most // 2)
            if self._fits is not None:
                self._fits.note(most, self._most)
            steps = self.args.gradient_accumulation_steps * -(-self.args.per_device_train_batch_size // self._most)
            self._say(
                f"{step} {most} examples at once do not fit; going on with {self._most} at once and "
                f"{steps} accumulated (same effective batch, same schedule)"
            )
            return
        model: Any = self.model
        if self._checkpointing() or not getattr(model, "supports_gradient_checkpointing", False):
            tried = "with" if self._checkpointing() else "and the model has no"
            raise torch.OutOfMemoryError(
                f"{failure} (sweepkit: not even one example at once fits, {tried} gradient checkpointing; {_INSTEAD})"
            )
        self._checkpoint_activations()
        self._say(f"{step} one example at once does not fit; going on with gradient checkpointing")

    def _checkpoint_activations(self) -> None:
        """Compute activations again in the backward pass from now on."""
        model: Any = self.model
        model.config.use_cache = False  # a cache of keys and values would defeat it
        recompute = {"use_reentrant": False}
        if hasattr(model, "activation_checkpointing_enable"):
            model.activation_checkpointing_enable(activation_checkpointing_kwargs=recompute)
        else:  # transformers 4
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=recompute)

    def _checkpointing(self) -> bool:
        """Return whether activations are computed again in the backward pass."""
        model: Any = self.model
        if hasattr(model, "is_activation_checkpointing"):
            return bool(model.is_activation_checkpointing)
        return bool(getattr(model, "is_gradient_checkpointing", False))  # transformers 4's name

    def _why_not(self) -> str:
        """Return why an error was not answered."""
        if not self._adapt:
            return "training.on_out_of_memory is fail; adapt answers with smaller batches first"
        if not self._alone:
            return (
                "a full memory is answered on a single device only; set a smaller training.per_device_train_batch_size"
            )
        return "this was not in a pass through the model, so smaller batches do not help"

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Score and generate for one batch; return (loss, predictions, labels)."""
        if not (self._alone and self._adapt):
            return super().prediction_step(model, inputs, *args, **kwargs)
        while True:
            made, failure = unless_full(self._predict, model, inputs, args, kwargs)
            if made is not None:
                return made
            self._events += 1
            most = min(self._most_eval or row_count(inputs), row_count(inputs))
            if most <= 1:
                raise torch.OutOfMemoryError(
                    f"{failure} (sweepkit: not even one example at once can be evaluated; shorten "
                    "tokenizer.encoder_max_len or decoder_max_len, use fewer generation.num_beams or a smaller model)"
                )
            self._most_eval = -(-most // 2)
            self._say(
                f"out of memory in the evaluation after step {self.state.global_step}: {most} examples at once do not "
                f"fit; going on with {self._most_eval}"
            )

    def _predict(self, model: Any, inputs: Batch, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """Make one evaluation step in parts that fit; what they return is joined, shorter ones filled with -100."""
        counts: list[int] = []
        losses: list[Any] = []
        joined: list[Any] = [None, None]  # predictions, labels
        for part in split(inputs, self._most_eval):
            loss, *rest = super().prediction_step(model, part, *args, **kwargs)
            labels = self._labels(part)
            counts.append(row_count(part) if labels is None else int(labels))
            losses.append(loss)
            joined = [
                new if old is None else _concat(old, new, padding_index=IGNORED)
                for old, new in zip(joined, rest, strict=True)
            ]
        return (_weighted(losses, counts), *joined)


def _shifts_labels(model: Any) -> bool:
    """Return whether a model's loss leaves the first label of each row out, as those of causal models do.

    The Trainer of transformers 5.23 asks the model's `loss_type`, which GPT-2 has none of.
    """
    if hasattr(model, "get_base_model"):  # peft's wrapper
        model = model.get_base_model()
    causal = getattr(model, "loss_function", None) is ForCausalLMLoss
    return causal and not getattr(getattr(model, "config", None), "is_encoder_decoder", False)


def _weighted(losses: Sequence[Any], counts: Sequence[int]) -> Any:
    """Return the mean of the losses, weighted with their counts; parts without labels do not count."""
    if len(losses) == 1 or losses[0] is None:
        return losses[0]
    total = sum(counts)
    return torch.stack([loss * (count / total) for loss, count in zip(losses, counts, strict=True) if count]).sum()
