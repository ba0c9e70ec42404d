"""Metrics that methods and reports share: how much samples differ, how like a reference or how real they are."""

from workbench.metrics.consistency import cosine_similarity
from workbench.metrics.diversity import concentration, deviation_image, mean_distance, pixel_deviation
from workbench.metrics.perceptual import (
    FeatureDistance,
    Lpips,
    MultiScaleSimilarity,
    mean_over_pairs,
    pixel_difference,
    random_pairs,
)
from workbench.metrics.realism import accuracy, frechet_distance, inception_score

__all__ = [
    "FeatureDistance",
    "Lpips",
    "MultiScaleSimilarity",
    "accuracy",
    "concentration",
    "cosine_similarity",
    "deviation_image",
    "frechet_distance",
    "inception_score",
    "mean_distance",
    "mean_over_pairs",
    "pixel_deviation",
    "pixel_difference",
    "random_pairs",
]
