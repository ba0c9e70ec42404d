"""Bring a network: adapters, layers, neurons, checkpoints and devices."""

from workbench.models.activations import Erf
from workbench.models.biggan import BigGAN
from workbench.models.biggan_deep import BigGANDeep
from workbench.models.called import Called
from workbench.models.checkpoints import load_state_dict, load_weights
from workbench.models.classifier import Classifier, as_classifier
from workbench.models.devices import Batches, available_devices, resolve_device
from workbench.models.errors import CheckpointError, LayerError, ModelError, WorkbenchError
from workbench.models.features import LinearFeatures
from workbench.models.generator import Generator, Samples, as_generator
from workbench.models.latent import LatentClassifier
from workbench.models.layers import Layer, Layers
from workbench.models.model import Model
from workbench.models.neurons import Neuron
from workbench.models.priors import Empirical, Normal, Prior, TruncatedNormal, Uniform

__all__ = [
    "Batches",
    "BigGAN",
    "BigGANDeep",
    "Called",
    "CheckpointError",
    "Classifier",
    "Empirical",
    "Erf",
    "Generator",
    "LatentClassifier",
    "Layer",
    "LayerError",
    "Layers",
    "LinearFeatures",
    "Model",
    "ModelError",
    "Neuron",
    "Normal",
    "Prior",
    "Samples",
    "TruncatedNormal",
    "Uniform",
    "WorkbenchError",
    "as_classifier",
    "as_generator",
    "available_devices",
    "load_state_dict",
    "load_weights",
    "resolve_device",
]
