"""Metrics that methods and reports share: how much samples differ, how like a reference they are."""

from workbench.metrics.consistency import cosine_similarity
from workbench.metrics.diversity import concentration, deviation_image, pixel_deviation

__all__ = ["concentration", "cosine_similarity", "deviation_image", "pixel_deviation"]
