"""ImageNet's class names; its images are not used here."""

from __future__ import annotations


def class_names() -> list[str]:
    """The names of the 1,000 classes of ILSVRC 2012 in their usual order, as torchvision has them."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES  # torchvision is slow to import

    return list(_IMAGENET_CATEGORIES)
