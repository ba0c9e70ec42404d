"""Small samples that ship, and full data sets from a folder of the user's."""

from workbench.datasets import glyphs, imagenet, mnist
from workbench.datasets.reading import files_read

__all__ = ["files_read", "glyphs", "imagenet", "mnist"]
