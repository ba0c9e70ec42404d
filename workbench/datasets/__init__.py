"""Small samples that ship, and full data sets from a folder of the user's."""

from workbench.datasets import mnist

__all__ = ["mnist"]
