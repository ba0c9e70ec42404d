"""Small samples that ship, and full data sets from a folder of the user's."""

from workbench.datasets import imagenet, mnist

__all__ = ["imagenet", "mnist"]
