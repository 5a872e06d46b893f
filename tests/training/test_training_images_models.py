import json
import math
import warnings

import pytest
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.training.config.image_sections import (
    ImageConfig,
    ImageModelSection,
    PerceiverConfig,
    PerceiverModelSection,
)
from sweepkit.training.config.training import apply
from sweepkit.training.usage import RecordedConfig

WORDS = words_of(__file__)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, at import
    import torch

    from sweepkit.training.images.batches import Scaling
    from sweepkit.training.images.models import checkpoint_scaling, make, processor_file
    from sweepkit.training.images.perceiver_model import Perceiver, position_features

KINDS = ("convnext", "swin", "vit")


def built(name="convnext", *, img_size=8, channels=1, classes=tuple("0123456789"), **fields):
    torch.manual_seed(0)
    section = ImageModelSection(name=str(name), **fields)
    return make(section, img_size=img_size, channels=channels, classes=classes)


def logits(model, img_size=8, channels=1):
    torch.manual_seed(1)
    return model(pixel_values=torch.randn(3, channels, img_size, img_size)).logits


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("img_size", "channels"), [(8, 1), (16, 3), (32, 1)])
def test_every_kind_is_small_and_sorts_images_of_its_size(name, img_size, channels):
    model = built(name, img_size=img_size, channels=channels)
    assert logits(model, img_size, channels).shape == (3, 10)
    assert 50_000 < sum(weights.numel() for weights in model.parameters()) < 100_000
    assert model.training


@pytest.mark.parametrize("name", KINDS)
def test_sizes_reach_the_model(name):
    plain = built(name)
    count = sum(weights.numel() for weights in plain.parameters())
    for change in ({"hidden_size": 48 if name != "vit" else 96}, {"depth": 3}):
        assert sum(weights.numel() for weights in built(name, **change).parameters()) > count * 1.3
    assert built(name, patch_size=4).config.patch_size == 4
    assert built(name, initializer_range=0.5).config.initializer_range == 0.5
    assert built(name).config.id2label[9] == "9"


def test_what_a_kind_has_reaches_it():
    assert built("convnext", stages=3, layer_scale=0.5).config.hidden_sizes == [24, 48, 96]
    blocks = [weights for name, weights in built("convnext", layer_scale=0.5).named_parameters() if "scale" in name]
    assert len(blocks) == 4 and all((weights == 0.5).all() for weights in blocks)
    assert not [1 for name, _ in built("convnext", layer_scale=0.0).named_parameters() if "scale" in name]
    assert built("swin", img_size=32, window_size=2).config.window_size == 2
    assert built("swin", heads=3).config.num_heads == [3, 6]
    assert built("vit", heads=6).config.num_attention_heads == 6


@pytest.mark.parametrize("name", KINDS)
def test_what_leaves_something_out_does_so_in_training_only(name):
    for change in [{"dropout": 0.5}] + [{"drop_path": 0.5}] * (name != "vit"):
        model, plain = built(name, **change), built(name)
        assert not torch.equal(logits(model), logits(plain)), change
        assert torch.equal(logits(model.eval()), logits(plain.eval())), change
        assert set(model.state_dict()) == set(plain.state_dict()), change


@pytest.mark.parametrize(
    ("name", "unread"),
    [
        ("convnext", {"model.heads", "model.window_size"}),
        ("swin", {"model.layer_scale"}),
        ("vit", {"model.stages", "model.layer_scale", "model.window_size", "model.drop_path"}),
    ],
)
def test_what_a_kind_does_not_have_is_not_read(name, unread):
    recorded = RecordedConfig(apply(ImageConfig(), {"model.name": name}))
    make(recorded.config.model, img_size=8, channels=1, classes=("a", "b"))
    fields = {f"model.{field}" for field in ImageModelSection.__dataclass_fields__}
    assert fields - recorded.read == unread


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (
            "convnext",
            {"patch_size": 16},
            "model.patch_size: images of 8 pixels must leave a position for each of 2 stage",
        ),
        ("convnext", {"stages": 4}, "lower it or model.stages, or raise data.img_size, got 2"),
        ("swin", {"heads": 5}, "model.heads: must divide model.hidden_size, here 24, got 5"),
        ("swin", {"window_size": 3}, "model.window_size: must be at most the 2 positions"),
        ("vit", {"patch_size": 3}, "model.patch_size: a ViT's must divide the 8 pixels of data.img_size, got 3"),
        ("vit", {"hidden_size": 50}, "model.heads: must divide model.hidden_size, here 50, got 4"),
        ("./none", {}, "must be a checkpoint's folder"),
        (
            "sweepkit-test/none",
            {},
            "HF_HUB_OFFLINE is set); download it once where there is a network, or name a folder,",
        ),
    ],
)
def test_what_does_not_fit_is_refused(name, fields, message):
    with pytest.raises(DataError) as caught:
        built(name, **fields)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_a_checkpoint_is_loaded_and_its_head_replaced_for_other_classes(name, tmp_path):
    model = built(name, dropout=0.1)
    model.save_pretrained(tmp_path)
    wanted = logits(model.eval())
    assert torch.equal(logits(built(tmp_path).eval()), wanted)
    other = built(tmp_path, classes=("cat", "dog"))
    assert logits(other.eval()).shape == (3, 2)
    assert other.config.id2label == {0: "cat", 1: "dog"}
    kept = {key for key, weights in other.state_dict().items() if torch.equal(weights, model.state_dict()[key])}
    assert {key for key in other.state_dict() if not key.startswith("classifier")} <= kept
    if name != "vit":
        assert built(tmp_path, drop_path=0.25).config.drop_path_rate == 0.25


def test_a_checkpoint_for_other_images_is_refused_with_what_to_set(tmp_path):
    built("vit", channels=3).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="wants images of 3 channels, got 1; set data.color: rgb"):
        built(tmp_path)
    with pytest.raises(DataError, match=WORDS["size-must-be"]):
        built(tmp_path, img_size=16, channels=3)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="cannot be loaded"):
        built(tmp_path, channels=3)


def test_a_checkpoint_brings_its_own_scaling(tmp_path):
    built("vit", channels=3).save_pretrained(tmp_path)
    assert checkpoint_scaling(str(tmp_path), 3) is None
    file = tmp_path / "preprocessor_config.json"
    scaling = Scaling((0.5, 0.25, 0.125), (0.5, 0.5, 1.0))
    file.write_text(json.dumps(processor_file(scaling, 8)))
    assert checkpoint_scaling(str(tmp_path), 3) == scaling
    file.write_text(json.dumps({"image_mean": [0.5], "image_std": [0.25]}))
    assert checkpoint_scaling(str(tmp_path), 3) == Scaling((0.5,) * 3, (0.25,) * 3)
    for said in (
        {"image_mean": [0.5, 0.5], "image_std": [1, 1]},
        {"image_mean": [1], "image_std": [1], "do_normalize": False},
        {},
    ):
        file.write_text(json.dumps(said))
        assert checkpoint_scaling(str(tmp_path), 3) is None


def test_transformers_reads_the_processors_file_we_write(tmp_path):
    from transformers import AutoImageProcessor

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor_file(Scaling((0.5,) * 3, (0.25,) * 3), 8)))
    processor = AutoImageProcessor.from_pretrained(tmp_path, local_files_only=True, use_fast=False)
    import numpy as np

    values = processor(np.full((8, 8, 3), 255, np.uint8), return_tensors="pt")["pixel_values"]
    assert values.shape == (1, 3, 8, 8)
    assert values.flatten()[0].item() == pytest.approx((1 - 0.5) / 0.25)


def perceiver(img_size=8, channels=1, classes=10, **fields):
    torch.manual_seed(0)
    return Perceiver(PerceiverModelSection(**fields), img_size=img_size, channels=channels, classes=classes)


def test_positions_have_the_features_of_the_paper():
    features = position_features(5, 3)
    assert features.shape == (25, 2 * (2 * 3 + 1))
    assert features[0, 0] == features[0, 7] == -1.0, "the first pixel is the upper left corner"
    assert features[7, [0, 7]].tolist() == [-0.5, 0.0]
    frequencies = torch.tensor([1.0, 1.75, 2.5])  # 1 to half the pixels
    assert torch.allclose(features[7, 1:4], (math.pi * -0.5 * frequencies).sin())
    assert torch.allclose(features[7, 4:7], (math.pi * -0.5 * frequencies).cos())


@pytest.mark.parametrize(
    ("img_size", "channels", "fields"),
    [(8, 1, {}), (28, 3, {"bands": 6}), (8, 1, {"latent_dim": 128, "num_latents": 96, "heads": 8, "depth": 1})],
)
def test_a_perceiver_of_any_size_sorts_images(img_size, channels, fields):
    model = perceiver(img_size, channels, **fields)
    assert model(torch.randn(2, channels, img_size, img_size)).shape == (2, 10)
    assert model.latents.shape == (fields.get("num_latents", 32), fields.get("latent_dim", 64))


def test_depth_costs_no_weights_and_changes_the_result():
    one, three = perceiver(depth=1), perceiver(depth=3)
    assert sum(w.numel() for w in one.parameters()) == sum(w.numel() for w in three.parameters()) < 70_000
    pixels = torch.randn(2, 1, 8, 8)
    assert not torch.allclose(one(pixels), three(pixels))


def test_a_perceiver_sees_where_a_pixel_is_and_drops_out_in_training_only():
    model = perceiver(dropout=0.5)
    pixels = torch.randn(2, 1, 8, 8)
    assert not torch.equal(model(pixels), model(pixels))
    model.eval()
    assert torch.equal(model(pixels), model(pixels))
    assert not torch.allclose(model(pixels), model(pixels.flip(3)), atol=1e-4)


def test_latents_that_the_heads_do_not_divide_are_refused():
    with pytest.raises(DataError, match=WORDS["dim-must-be"]):
        perceiver(latent_dim=66)
    assert PerceiverConfig().model.latent_dim % PerceiverConfig().model.heads == 0


@pytest.mark.parametrize("name", ["convnext", "swin", "vit"])
def test_recomputed_blocks_give_the_same_gradients(name):
    import torch

    from sweepkit.training.config.image_sections import ImageModelSection
    from sweepkit.training.images.models import make
    from sweepkit.training.images.recompute import recompute_blocks

    def gradients(*, recompute):
        torch.manual_seed(1)
        model = make(ImageModelSection(name=name, pooling="max"), img_size=8, channels=1, classes=["a", "b"])
        if recompute:
            recompute_blocks(model)
        torch.manual_seed(2)
        model(pixel_values=torch.rand(4, 1, 8, 8)).logits.square().sum().backward()
        return [weights.grad for weights in model.parameters() if weights.grad is not None]

    plain, again = gradients(recompute=False), gradients(recompute=True)
    assert len(plain) == len(again) and all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_an_efficientnet_of_a_folder_is_loaded_and_is_not_recomputed(tmp_path):
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    from sweepkit.errors import DataError
    from sweepkit.training.config.image_sections import ImageModelSection
    from sweepkit.training.images.models import make
    from sweepkit.training.images.recompute import recompute_blocks

    small = EfficientNetConfig(image_size=32, width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=64)
    EfficientNetForImageClassification(small).save_pretrained(tmp_path)
    section = ImageModelSection(name=str(tmp_path), drop_path=0.1, pooling="mean")
    model = make(section, img_size=32, channels=3, classes=["a", "b", "c"])
    assert model.config.drop_connect_rate == 0.1 and model.classifier.out_features == 3
    with pytest.raises(DataError, match="batch normalization"):
        recompute_blocks(model)
