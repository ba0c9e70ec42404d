"""How much pictures differ from one another: MS-SSIM, LPIPS and distances in a network's features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.files import is_file, sha256_of_file

#: Weights of the scales of MS-SSIM, the finest first (Wang, Simoncelli and Bovik, 2003).
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: The usual window, in pixels.
_WINDOW = 11
#: The file of torchvision's weights that LPIPS measures in, by network.
_BACKBONES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
_ROWS = 100


def random_pairs(n: int, pairs: int = 200, *, seed: int = 0) -> Int[Tensor, "2 pairs"]:
    """Indices of random pairs of `n` pictures, of two different ones each.

    Raises:
        ValueError: fewer than two pictures, or no pairs.
    """
    if n < 2 or pairs < 1:
        raise ValueError(
            f"{pairs} pairs of {n} pictures were asked for; expected two pictures and a pair at least"
        )
    random = torch.Generator().manual_seed(seed)
    first = torch.randint(n, (pairs,), generator=random)
    return torch.stack([first, (first + torch.randint(1, n, (pairs,), generator=random)) % n])


def mean_over_pairs(
    images: Float[Tensor, "n *image"],
    measure: Callable[[Tensor, Tensor], Float[Tensor, " pairs"]],
    *,
    pairs: int = 200,
    seed: int = 0,
) -> float:
    """The mean of a measure of two pictures over random pairs (section 2.4 of Li, 2020, takes 200)."""
    first, second = random_pairs(len(images), pairs, seed=seed)
    with torch.no_grad():
        parts = [
            measure(images[a], images[b]) for a, b in zip(first.split(_ROWS), second.split(_ROWS), strict=True)
        ]
    return float(torch.cat(parts).double().mean())


def pixel_difference(images: Float[Tensor, "n *image"], *, pairs: int = 200, seed: int = 0) -> float:
    """The mean absolute difference of the pixels of two pictures, over random pairs."""
    return mean_over_pairs(images, lambda a, b: (a - b).abs().flatten(1).mean(1), pairs=pairs, seed=seed)


def scales_that_fit(edge: int, window: int) -> int:
    """Scales of MS-SSIM that pictures of an edge allow with a window, five at the most.

    The coarsest has to hold the window, and torchmetrics asks for an edge of the window times the square of the
    scales before it.
    """
    scales = 1
    while scales < len(_SCALES) and edge // max(2**scales, scales**2) >= window:
        scales += 1
    return scales


class MultiScaleSimilarity:
    """MS-SSIM of pairs of pictures in [0, 1], by torchmetrics; 1 for the same pictures, and low for diverse ones.

    Pictures below 176 pixels do not allow five scales with the usual window of 11: then the window is `window`
    pixels and there are as many scales as fit, with their usual weights brought to a sum of 1. `name` says which.

    Args:
        edge: the shorter edge of the pictures.
        window: for small pictures, odd.

    Raises:
        ValueError: a window that is even, or larger than the pictures.
    """

    def __init__(self, edge: int, *, window: int = 7) -> None:
        self.window = _WINDOW if scales_that_fit(edge, _WINDOW) == len(_SCALES) else window
        if self.window % 2 == 0 or edge < self.window:
            raise ValueError(
                f"window={self.window} for pictures of {edge} pixels; expected an odd number that fits"
            )
        count = scales_that_fit(edge, self.window)
        total = sum(_SCALES[:count])
        self.weights = tuple(weight / total for weight in _SCALES[:count])
        self.name = f"MS-SSIM ({count} scales, window {self.window})"

    def __call__(
        self, a: Float[Tensor, "pairs c h w"], b: Float[Tensor, "pairs c h w"]
    ) -> Float[Tensor, " pairs"]:
        """The similarity of each pair."""
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

        return multiscale_structural_similarity_index_measure(
            a,
            b,
            sigma=1.5 * self.window / _WINDOW,  # torchmetrics takes the window's width from its deviation
            kernel_size=self.window,
            reduction="none",
            data_range=1.0,
            betas=self.weights,
            normalize="relu",
        )


class FeatureDistance:
    """The distance of LPIPS without its learned weights, in layers of a network of one's own.

    Features are brought to unit length over the channels; their squared differences are summed over the channels,
    averaged over the places and summed over the layers (equation 1 of Zhang et al., "The unreasonable
    effectiveness of deep features as a perceptual metric", CVPR 2018, with w = 1).
    It is not LPIPS, and must not be called so.

    Args:
        features: from pictures to the outputs of the layers, (pairs, channels, …) each.
        name: of the network and its layers, for reports.
    """

    def __init__(self, features: Callable[[Tensor], Sequence[Tensor]], name: str) -> None:
        self._features, self.name = features, f"feature distance ({name})"

    def __call__(
        self, a: Float[Tensor, "pairs *image"], b: Float[Tensor, "pairs *image"]
    ) -> Float[Tensor, " pairs"]:
        """The distance of each pair."""
        return self._between(self._features(a), self._features(b))

    def mean(self, images: Float[Tensor, "n *image"], *, pairs: int = 200, seed: int = 0) -> float:
        """`mean_over_pairs` of this distance; every picture goes through the network once, however many pairs."""
        with torch.no_grad():
            features = list(self._features(images))
        return mean_over_pairs(
            torch.arange(len(images)),
            lambda i, j: self._between([f[i] for f in features], [f[j] for f in features]),
            pairs=pairs,
            seed=seed,
        )

    @staticmethod
    def _between(ones: Sequence[Tensor], others: Sequence[Tensor]) -> Float[Tensor, " pairs"]:
        total = torch.zeros(len(ones[0]))
        for pair in zip(ones, others, strict=True):
            unit = [torch.nn.functional.normalize(x.flatten(2) if x.ndim > 2 else x, dim=1) for x in pair]
            squared = (unit[0] - unit[1]).square().sum(1)
            total = total + squared.reshape(len(squared), -1).mean(1).cpu()
        return total


def backbone_of(network: str) -> Path:
    """Where torch keeps torchvision's ImageNet weights for LPIPS with `network`, be they there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONES[network]


class Lpips:
    """LPIPS of pairs of pictures in [0, 1] with 3 channels, by the package of its authors.

    Args:
        network: `alex` or `vgg`.
        backbone: file of torchvision's ImageNet weights for it; by default it is looked for in torch's cache.
            Nothing is fetched.

    Raises:
        FileNotFoundError: the weights are not here.
        ValueError: another file: torchvision's names say what their SHA-256 begins with. LPIPS with a random
            network would be no LPIPS.
    """

    def __init__(self, network: str = "alex", *, backbone: str | Path | None = None) -> None:
        if network not in _BACKBONES:
            raise ValueError(f"network={network!r}; expected one of {sorted(_BACKBONES)}")
        file = _BACKBONES[network]
        path = backbone_of(network) if backbone is None else Path(backbone)
        if not is_file(path):
            raise FileNotFoundError(
                f"LPIPS needs torchvision's ImageNet weights, and {path} is not there; fetch {file} from "
                "download.pytorch.org/models, or measure in a network of your own with FeatureDistance"
            )
        digest = sha256_of_file(path)
        if not digest.startswith(file.rpartition("-")[2].partition(".")[0]):
            raise ValueError(
                f"{path} has SHA-256 {digest[:8]}…, which is not torchvision's {file}: LPIPS in another network "
                "would be no LPIPS. Measure with FeatureDistance there"
            )
        import lpips
        import torchvision

        build = torchvision.models.alexnet if network == "alex" else torchvision.models.vgg16
        trained = build(weights=None)
        trained.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how it asks torchvision for a network without weights
            self._measure = lpips.LPIPS(net=network, pnet_rand=True, verbose=False).eval()
        slices = [getattr(self._measure.net, f"slice{i}") for i in range(1, 6)]
        for part in slices:  # the package would fetch them; its slices keep torchvision's numbers as names
            part.load_state_dict(
                {
                    f"{name}.{kind}": value
                    for name, module in part.named_children()
                    for kind, value in trained.features[int(name)].state_dict().items()
                }
            )
        self.name = f"LPIPS ({network})"

    def __call__(
        self, a: Float[Tensor, "pairs 3 h w"], b: Float[Tensor, "pairs 3 h w"]
    ) -> Float[Tensor, " pairs"]:
        """The distance of each pair."""
        return self._measure(a, b, normalize=True).flatten()
