"""Networks that nobody here wrote, with random weights, and the few lines that adapt each to the workbench.

A stranger is two functions: `build` makes the network as its package does, `adapt` hands it to the workbench.
What a user has to write is `adapt`, whose lines the test counts.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.models import Called

MOST_LINES = 5
#: The search takes hundreds of passes.
_FLIPS = ("flip_points",)


@dataclass(frozen=True)
class Stranger:
    """A network, where it is from, and how it comes to the workbench.

    Attributes:
        name: what the network is.
        source: the class or function that makes it.
        build: makes it, with random weights.
        adapt: from the network to a `Generator` or `Classifier`.
        slow: the methods that are too slow on it for each push: `all`, or their names.
    """

    name: str
    source: str
    build: Callable[[], nn.Module]
    adapt: Callable[[Any], wb.Generator | wb.Classifier]
    slow: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """What has to be installed."""
        return self.source.partition(".")[0]

    @property
    def lines(self) -> int:
        """Of the adapter: what stands below its signature."""
        code = inspect.getsource(self.adapt).strip().splitlines()
        signature = next(place for place, line in enumerate(code) if line.startswith("def "))
        return sum(bool(line.strip()) for line in code[signature + 1 :])


STRANGERS: list[Stranger] = []


def stranger(
    name: str, source: str, build: Callable[[], nn.Module], *, slow: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """Register the function below as the adapter of a network."""

    def register(adapt: Callable[[Any], Any]) -> Callable[[Any], Any]:
        STRANGERS.append(Stranger(name, source, build, adapt, slow))
        return adapt

    return register


def torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    """A network of torchvision's registry without weights, for 3 classes."""

    def build() -> nn.Module:
        from torchvision.models import get_model

        return _normed(get_model(name, weights=None, num_classes=3, **options))

    return build


def timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    """A network of timm's registry without weights, for 3 classes."""

    def build() -> nn.Module:
        return _normed(pytest.importorskip("timm").create_model(name, pretrained=False, num_classes=3, **options))

    return build


def _normed(network: nn.Module) -> nn.Module:
    """Batch norms as a first batch leaves them: with those they are made with, little comes through a deep "
    "network."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            network.train()(torch.rand(8, 3, 32, 32))
    return network


# -- classifiers ---------------------------------------------------------------------------------------


@stranger("ShuffleNet", "torchvision.models.shufflenet_v2_x0_5", torchvision("shufflenet_v2_x0_5"), slow=_FLIPS)
def shufflenet(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


@stranger("ResNet-18", "torchvision.models.resnet18", torchvision("resnet18"), slow=("all",))
def resnet(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


def _vision_transformer() -> nn.Module:
    from torchvision.models import VisionTransformer

    network = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=3
    )
    return _with_random_head(network, network.heads)


@stranger("vision transformer", "torchvision.models.VisionTransformer", _vision_transformer)
def vision_transformer(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


def _segmentation() -> nn.Module:
    return torchvision("lraspp_mobilenet_v3_large", weights_backbone=None)()


@stranger(
    "LR-ASPP segmentation",
    "torchvision.models.segmentation.lraspp_mobilenet_v3_large",
    _segmentation,
    slow=("all",),
)
def segmentation(network):
    return wb.Classifier(network, (3, 32, 32), output=lambda seen: seen["out"].mean((2, 3)))


def _several_outputs() -> nn.Module:
    from torchvision.models.feature_extraction import create_feature_extractor

    nodes = {"conv1": "early", "stage3": "late", "fc": "scores"}
    return create_feature_extractor(torchvision("shufflenet_v2_x0_5")(), nodes)


@stranger(
    "ShuffleNet with several outputs",
    "torchvision.models.feature_extraction.create_feature_extractor",
    _several_outputs,
    slow=_FLIPS,
)
def several_outputs(network):
    return wb.Classifier(network, input_shape=(3, 32, 32), output="scores")


@stranger("DenseNet-121", "torchvision.models.densenet121", torchvision("densenet121"), slow=("all",))
def densenet(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


@stranger("Swin transformer", "torchvision.models.swin_t", torchvision("swin_t"), slow=("all",))
def swin(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


@stranger(
    "ShuffleNet in half precision",
    "torchvision.models.shufflenet_v2_x0_5",
    lambda: torchvision("shufflenet_v2_x0_5")().half(),
    slow=_FLIPS,
)
def half_precision(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


@stranger(
    "small EfficientNet", "timm.models.efficientnet.test_efficientnet", timm("test_efficientnet"), slow=_FLIPS
)
def efficientnet(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


@stranger("small ViT", "timm.models.vision_transformer.test_vit", timm("test_vit", img_size=32), slow=_FLIPS)
def timm_vit(network):
    return wb.Classifier(network, input_shape=(3, 32, 32))


def _image_transformer() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
    )
    config.num_labels = 3
    return transformers.ViTForImageClassification(config)


@stranger("image transformer", "transformers.ViTForImageClassification", _image_transformer, slow=_FLIPS)
def image_transformer(network):
    return wb.Classifier(network, input_shape=(3, 32, 32), value_range=(-1, 1), output="logits")


def _text_transformer() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=3,
    )
    return transformers.BertForSequenceClassification(config)


@stranger(
    "text transformer on its word embeddings", "transformers.BertForSequenceClassification", _text_transformer
)
def text_transformer(network):
    embedded = Called(network, lambda bert, x: bert(inputs_embeds=x).logits)
    return wb.Classifier(embedded, input_shape=(8, 32), value_range=None)


@stranger("text transformer on token numbers", "transformers.BertForSequenceClassification", _text_transformer)
def text_tokens(network):
    return wb.Classifier(network, input_shape=(8,), value_range=(0, 49), output="logits")


# -- generators ----------------------------------------------------------------------------------------


def _dcgan() -> nn.Module:
    models = pytest.importorskip("torchgan.models")
    return models.DCGANGenerator(encoding_dims=16, out_size=16, out_channels=3, step_channels=8)


@stranger("DCGAN", "torchgan.models.DCGANGenerator", _dcgan)
def dcgan(network):
    return wb.Generator(network, latent_shape=(16,), value_range=(-1, 1))


@stranger("DCGAN, compiled", "torchgan.models.DCGANGenerator", lambda: torch.compile(_dcgan()))
def compiled(network):
    return wb.Generator(network, latent_shape=(16,), value_range=(-1, 1))


@stranger("DCGAN in half precision", "torchgan.models.DCGANGenerator", lambda: _dcgan().half())
def half_generator(network):
    return wb.Generator(network, latent_shape=(16,), value_range=(-1, 1))


def _biggan() -> nn.Module:
    package = pytest.importorskip("pytorch_pretrained_biggan")
    layers = [(True, 16, 8), (True, 8, 4), (False, 4, 2), (False, 2, 1)]
    config = package.BigGANConfig(
        output_dim=16, z_dim=8, channel_width=4, num_classes=5, layers=layers, attention_layer_position=1
    )
    network = package.BigGAN(config)
    for parameter in network.parameters():  # some are left as the memory was
        nn.init.normal_(parameter, std=0.3)
    return network


@stranger("BigGAN-deep", "pytorch_pretrained_biggan.BigGAN", _biggan, slow=_FLIPS)
def biggan(network):
    draw = Called(network, lambda net, z, e: net.generator(torch.cat([z, e], 1), 0.4))
    embeddings = network.embeddings.weight.T
    return wb.Generator(draw, latent_shape=(8,), value_range=(-1, 1), class_embeddings=embeddings)


def _autoencoder() -> nn.Module:
    diffusers = pytest.importorskip("diffusers")
    return diffusers.AutoencoderKL(block_out_channels=(16, 32), norm_num_groups=4, latent_channels=4, **_BLOCKS)


_BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}


@stranger("decoder of a VAE", "diffusers.AutoencoderKL", _autoencoder, slow=_FLIPS)
def autoencoder(network):
    decode = Called(network, lambda vae, z: vae.decode(z).sample)
    return wb.Generator(decode, latent_shape=(4, 8, 8), value_range=(-1, 1))


def _signal_decoder() -> nn.Module:
    diffusers = pytest.importorskip("diffusers")
    return diffusers.AutoencoderOobleck(
        encoder_hidden_size=8,
        downsampling_ratios=[2, 4],
        channel_multiples=[1, 2],
        decoder_channels=8,
        decoder_input_channels=4,
        audio_channels=1,
    )


@stranger("1-D signal decoder", "diffusers.AutoencoderOobleck", _signal_decoder)
def signal_decoder(network):
    decode = Called(network, lambda vae, z: vae.decode(z).sample)
    return wb.Generator(decode, latent_shape=(4, 6), value_range=(-1, 1))


def _vocoder() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.SpeechT5HifiGanConfig(
        model_in_dim=6, upsample_initial_channel=16, upsample_rates=[2, 2], upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
    )  # fmt: skip
    return transformers.SpeechT5HifiGan(config)


@stranger("vocoder, from spectrogram to wave", "transformers.SpeechT5HifiGan", _vocoder)
def vocoder(network):
    return wb.Generator(network, latent_shape=(8, 6), value_range=(-1, 1))


def _with_random_head(network: nn.Module, head: nn.Module) -> nn.Module:
    """Heads that start at zero give the same scores for every input."""
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network
