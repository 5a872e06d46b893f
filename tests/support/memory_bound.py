"""A memory of any size on a machine without a GPU: torch.OutOfMemoryError over a bound, as a full GPU raises it.

What a training holds is counted as autograd keeps it: the tensors saved for the backward pass, which fewer examples and
gradient checkpointing make less, as on a GPU. An evaluation keeps nothing; there examples at once are counted.
"""

import contextlib
import weakref

import torch
from transformers import Trainer
from transformers.generation import GenerationMixin

FULL = "CUDA out of memory. Tried to allocate 20.00 MiB."


class Saved:
    """A tensor kept for the backward pass; its bytes count while anybody holds it."""

    def __init__(self, tensor, memory):
        self.tensor = tensor.detach()  # an output would hold its own node, and so itself, for ever
        memory.live += tensor.nbytes
        weakref.finalize(self, memory.free, tensor.nbytes)


class Memory:
    """A bound on what is kept, in bytes, and on what is evaluated at once, in examples; None for no bound."""

    def __init__(self, most=None, *, most_at_once=None):
        self.most, self.most_at_once = most, most_at_once
        self.live = self.peak = self.refused = 0

    def free(self, size):
        self.live -= size

    def refuse(self):
        self.refused += 1
        raise torch.OutOfMemoryError(FULL)

    def keep(self, tensor):
        if isinstance(tensor, torch.nn.Parameter) or isinstance(tensor._base, torch.nn.Parameter):
            return tensor  # a weight is there anyway
        saved = Saved(tensor, self)
        if self.most is not None and self.live > self.most:
            self.refuse()
        self.peak = max(self.peak, self.live)
        return saved

    @staticmethod
    def give(saved):
        return saved.tensor if isinstance(saved, Saved) else saved

    def check(self, rows):
        if self.most_at_once is not None and rows > self.most_at_once:
            self.refuse()

    def install(self, patch, trainer_class=Trainer):
        """Put the bound around every pass through a model; `patch(owner, name, value)` sets an attribute.

        `trainer_class` is where `compute_loss` stands.
        """
        computed, generated = trainer_class.compute_loss, GenerationMixin.generate

        def compute_loss(trainer, model, inputs, *args, **kwargs):
            if not model.training:
                self.check(len(inputs["labels"]))
            counting = torch.autograd.graph.saved_tensors_hooks(self.keep, self.give)
            with counting if model.training else contextlib.nullcontext():
                return computed(trainer, model, inputs, *args, **kwargs)

        def generate(model, *args, **kwargs):
            self.check(len(kwargs["input_ids"]))
            return generated(model, *args, **kwargs)

        patch(trainer_class, "compute_loss", compute_loss)
        patch(GenerationMixin, "generate", generate)
