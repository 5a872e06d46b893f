"""Importing this module makes a process ready for trainings on images: name it under a sweep's `sweepkit.preload`.

Imports only: no torch operation runs, no random number is drawn, no thread is started, so a run forked from such a
process computes the same bits as one in a fresh process. scikit-learn is left alone: `images.arrays` says why.
"""

import PIL.Image
import PIL.ImageOps  # noqa: F401
import torch.profiler  # noqa: F401 - the Trainer's first step imports it
from transformers.models.auto import modeling_auto  # noqa: F401
from transformers.models.convnext import configuration_convnext, modeling_convnext  # noqa: F401
from transformers.models.swin import configuration_swin, modeling_swin  # noqa: F401
from transformers.models.vit import configuration_vit, modeling_vit  # noqa: F401

import sweepkit.training.session  # noqa: F401
import sweepkit.training.tasks.image_classification
import sweepkit.training.tasks.perceiver  # noqa: F401

PIL.Image.preinit()  # registers the formats of most files, as the first image would
