"""The sections of a training configuration for images: `task: image_classification` and `task: perceiver`.

Fields that transformers has keep transformers' names where the users' guides have none of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sweepkit.training.config.reproduces_section import ReproducesSection
from sweepkit.training.config.training_sections import OPTIMIZERS, SCHEDULES, OutputSection, WandbSection, bounded

# Other names of fields: those of the users' guides, of transformers, and what timm's users write.
_ALIASES: Mapping[str, str] = {
    "batch_size": "training.per_device_train_batch_size",
    "num_epochs": "training.num_train_epochs",
    "epochs": "training.num_train_epochs",
    "lr": "training.learning_rate",
    "train_batch_size": "training.per_device_train_batch_size",
    "eval_batch_size": "training.per_device_eval_batch_size",
    "scheduler": "training.lr_scheduler_type",
    "lr_scheduler": "training.lr_scheduler_type",
    "optimizer": "training.optim",
    "scheduler_type": "training.lr_scheduler_type",
    "label_smoothing_factor": "training.label_smoothing",
    "max_grad_norm": "training.grad_clip_norm",
    "image_size": "data.img_size",
    "num_folds": "validation.folds",
    "mixed_precision": "training.fp16",
}
_IMAGE_ALIASES: Mapping[str, str] = {
    **_ALIASES,
    "model_name": "model.name",
    "drop_path_rate": "model.drop_path",
    "layer_scale_init_value": "model.layer_scale",
    "drop_connect_rate": "model.drop_path",
    "global_pool": "model.pooling",
}
_PERCEIVER_ALIASES: Mapping[str, str] = {**_ALIASES, "num_heads": "model.heads", "num_freq_bands": "model.bands"}
_IMAGE_RENAMED: Mapping[str, str] = {"no_cuda": "use_cpu", "adafactor": "optim: adafactor"}
_COLORS = ("auto", "grayscale", "rgb")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageModelSection:
    """Which model sorts images, and its size when it is built small here instead of loaded.

    The sizes and layer_scale are of built models; None takes the kind's own, about 60,000 to 75,000 parameters for ten
    classes: patch 2; ConvNeXt 24 channels, 2 stages of 2 blocks; Swin 24 channels, 2 stages of 2 blocks, 2 heads,
    window 4 or what the last stage has; ViT 48 channels, 2 blocks, 4 heads. What a kind does not have is not read.

    Args:
        name: "convnext", "swin" or "vit" builds one; else a checkpoint's folder or hub name, whose head is replaced
            when its classes are others. "efficientnet_b3" and the like mean Google's on the hub.
        hidden_size: Channels of the first stage, >= 1, doubled from stage to stage (ViT: of all blocks).
        stages: Resolutions, each half of the one before, >= 1; not in a ViT.
        depth: Blocks of each stage (ViT: in all), >= 1.
        heads: Attention heads of the first stage, a divisor of hidden_size, doubled from stage to stage; not in a
            ConvNeXt.
        patch_size: Pixels along each side that become one position, >= 1.
        window_size: Positions along each side that attend to each other, >= 1, at most those of the last stage; only in
            a Swin.
        initializer_range: Standard deviation of the first weights, > 0. Narrow models do not learn at transformers'
            0.02: measured macro F1 of ViT and Swin .32 at most after five epochs.
        layer_scale: First value of ConvNeXt's layer scale, >= 0; 0 has none.
        drop_path: Probability in [0, 1) of leaving a block out (stochastic depth), rising to this at the last block;
            None keeps the checkpoint's own, and is 0 for built ones. A ViT has none.
        dropout: Probability in [0, 1) on what enters the classifier.
        pooling: What the classifier sees of all positions: their "mean" or their greatest ("max"); None keeps the
            kind's own (ConvNeXt, Swin and EfficientNet the mean, a ViT its class token).
    """

    name: str = "convnext"
    hidden_size: int | None = bounded(None, least=1)
    stages: int | None = bounded(None, least=1, most=6)
    depth: int | None = bounded(None, least=1)
    heads: int | None = bounded(None, least=1)
    patch_size: int | None = bounded(None, least=1)
    window_size: int | None = bounded(None, least=1)
    initializer_range: float = bounded(0.1, above=0)
    layer_scale: float = bounded(0.1, least=0)
    drop_path: float | None = bounded(None, least=0, below=1)
    dropout: float = bounded(0.0, least=0, below=1)
    pooling: str | None = bounded(None, choices=("mean", "max"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceiverModelSection:
    """A Perceiver (Jaegle et al. 2021): latents that look at all pixels, again and again, with the same weights.

    Args:
        name: "perceiver".
        depth: How often the latents look at the pixels and at each other, >= 1; the weights are shared.
        latent_dim: Channels of a latent, a multiple of heads.
        num_latents: Number of latents, >= 1.
        heads: Attention heads among the latents, >= 1.
        bands: Frequencies of the Fourier features of a pixel's position, >= 1.
        dropout: Probability in [0, 1) on what each block adds.
    """

    name: str = bounded("perceiver", choices=("perceiver",))
    depth: int = bounded(2, least=1)
    latent_dim: int = bounded(64, least=1)
    num_latents: int = bounded(32, least=1)
    heads: int = bounded(4, least=1)
    bands: int = bounded(4, least=1)
    dropout: float = bounded(0.0, least=0, below=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDataSection:
    """Which images, and how they are prepared. Decoded and resized once, and shared by all runs and folds.

    Args:
        source: "digits" (scikit-learn's 1,797 scanned digits of 8×8 pixels); a folder with a folder of images for each
            class; a CSV file of image paths (from the CSV's folder) and labels; a folder with MNIST's IDX files, packed
            or not; or an .npz file with x_train and y_train, or images and labels.
        image_column: The CSV file's column of paths.
        label_column: Its column of labels; any text.
        img_size: Images are resized to so many pixels along both sides, >= 4.
        color: "grayscale" and "rgb" convert; "auto" wants all images alike and keeps what they are.
        max_samples: Use so many images, drawn by training.seed with each class in proportion, >= 2; None for all.
    """

    source: str = "digits"
    image_column: str = "image"
    label_column: str = "label"
    img_size: int = bounded(8, least=4, most=4096)
    color: str = bounded("auto", choices=_COLORS)
    max_samples: int | None = bounded(None, least=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTrainingSection:
    """How each fold is trained.

    Args:
        learning_rate: Peak rate, > 0.
        per_device_train_batch_size: Images a step and device, >= 1.
        per_device_eval_batch_size: Images scored at once, >= 1.
        gradient_accumulation_steps: Batches per optimizer step, >= 1.
        num_train_epochs: Passes over the training images, > 0; a fraction is allowed.
        warmup_epochs: Passes with a rising rate, >= 0; a fraction is allowed.
        weight_decay: >= 0.
        grad_clip_norm: Gradients are scaled down to this norm; 0 for never.
        lr_scheduler_type: How the rate falls.
        label_smoothing: In [0, 1): the wanted probability of the right class is 1 - this + this / classes. eval/loss is
            measured without it, so that runs stay comparable.
        mixup_alpha: Trains on weighted means of two images and their labels, with weights from Beta(alpha, alpha)
            (Zhang et al. 2018); 0 for none.
        optim: The optimizer.
        fp16: Half precision (CUDA).
        bf16: bfloat16.
        gradient_checkpointing: Recompute activations: less memory, about a third slower; not for EfficientNet.
        on_out_of_memory: "adapt" answers a full memory within the run, as for summarization; "fail" fails at once.
        save_model: Keep the trained models under the output directory, one for each fold.
        use_cpu: Use no GPU though there is one.
        seed: Of the folds and of everything random in the training, >= 0.
    """

    learning_rate: float = bounded(1.0e-2, above=0)
    per_device_train_batch_size: int = bounded(64, least=1)
    per_device_eval_batch_size: int = bounded(256, least=1)
    gradient_accumulation_steps: int = bounded(1, least=1)
    num_train_epochs: float = bounded(3.0, above=0)
    warmup_epochs: float = bounded(0.5, least=0)
    weight_decay: float = bounded(0.01, least=0)
    grad_clip_norm: float = bounded(1.0, least=0)
    lr_scheduler_type: str = bounded("linear", choices=SCHEDULES)
    label_smoothing: float = bounded(0.0, least=0, below=1)
    mixup_alpha: float = bounded(0.0, least=0)
    optim: str = bounded("adamw_torch_fused", choices=OPTIMIZERS)
    fp16: bool = False
    bf16: bool = False
    gradient_checkpointing: bool = False
    on_out_of_memory: str = bounded("adapt", choices=("adapt", "fail"))
    save_model: bool = False
    use_cpu: bool = False
    seed: int = bounded(42, least=0, most=2**32 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceiverTrainingSection(ImageTrainingSection):
    """As for the other models, with the defaults that suit a Perceiver."""

    learning_rate: float = bounded(2.0e-3, above=0)
    per_device_train_batch_size: int = bounded(32, least=1)
    num_train_epochs: float = bounded(4.0, above=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSection:
    """What the score is measured on: images that the model was not trained on.

    Args:
        folds: 2 and more: stratified k-fold cross-validation, one model and one report for each fold. 1: one stratified
            part is held out, and each epoch is reported.
        val_ratio: With one fold, the part of each class that is held out, in (0, 1).
        use_test_part: Score each epoch on the data's own test part (t10k of MNIST, x_test) in place of folds. Else a
            test part is left alone.
    """

    folds: int = bounded(5, least=1)
    val_ratio: float = bounded(0.2, above=0, below=1)
    use_test_part: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceiverValidationSection(ValidationSection):
    """As for the other models; a Perceiver is held out once, as the tutorial does."""

    folds: int = bounded(1, least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickValidationSection:
    """A cheaper validation for searches, whose best is then trained in full.

    Args:
        enabled: Whether what follows goes before validation.folds and the training's own fields.
        epochs: In place of num_train_epochs, > 0; the warm-up shrinks in proportion. None keeps it.
        folds: Validate only so many of the folds, >= 1, the first ones: they are the folds of the full validation. With
            1, each epoch is reported. None for all.
        batch_size_override: In place of per_device_train_batch_size, >= 1; None keeps it.
    """

    enabled: bool = False
    epochs: float | None = bounded(2.0, above=0)
    folds: int | None = bounded(2, least=1)
    batch_size_override: int | None = bounded(None, least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """Everything that decides a training of an image classifier; equal ones give equal results on one machine."""

    task: ClassVar[str] = "image_classification"
    aliases: ClassVar[Mapping[str, str]] = _IMAGE_ALIASES
    renamed: ClassVar[Mapping[str, str]] = _IMAGE_RENAMED

    model: ImageModelSection = field(default_factory=ImageModelSection)
    data: ImageDataSection = field(default_factory=ImageDataSection)
    training: ImageTrainingSection = field(default_factory=ImageTrainingSection)
    validation: ValidationSection = field(default_factory=ValidationSection)
    quick_validation: QuickValidationSection = field(default_factory=QuickValidationSection)
    wandb: WandbSection = field(default_factory=WandbSection)
    output: OutputSection = field(default_factory=OutputSection)
    reproduces: ReproducesSection = field(default_factory=ReproducesSection)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceiverConfig:
    """Everything that decides a training of a Perceiver."""

    task: ClassVar[str] = "perceiver"
    aliases: ClassVar[Mapping[str, str]] = _PERCEIVER_ALIASES
    renamed: ClassVar[Mapping[str, str]] = _IMAGE_RENAMED

    model: PerceiverModelSection = field(default_factory=PerceiverModelSection)
    data: ImageDataSection = field(default_factory=ImageDataSection)
    training: PerceiverTrainingSection = field(default_factory=PerceiverTrainingSection)
    validation: PerceiverValidationSection = field(default_factory=PerceiverValidationSection)
    quick_validation: QuickValidationSection = field(default_factory=QuickValidationSection)
    wandb: WandbSection = field(default_factory=WandbSection)
    output: OutputSection = field(default_factory=OutputSection)
    reproduces: ReproducesSection = field(default_factory=ReproducesSection)
