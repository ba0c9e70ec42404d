"""Writing the way through a latent space as an animation, with the latents beside it."""

from __future__ import annotations

from collections.abc import Generator as Steps
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import save_file

from workbench.files import make_folder
from workbench.progress import Progress, Step, run
from workbench.subspaces.search import Search

#: Milliseconds that one frame of an animation stays.
_FRAME_MS = 60


def export(
    search: Search,
    path: str | Path,
    *,
    frames: int = 12,
    point: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the way from the start of a search to a point (the current one) as GIF, WebP or PNG.

    Args:
        search: the search.
        path: the file; its ending chooses the format. The latents of the accepted points are written
            beside it, with the ending `.safetensors`.
        frames: frames on each leg between two accepted points.
        point: where the way ends.

    Raises:
        ValueError: another ending, or a generator of signals.
        FolderError: the folder cannot be made.
        Cancelled: `progress` returned False; nothing is written.
    """
    return run(export_steps(search, path, frames=frames, point=point), progress)


def export_steps(
    search: Search, path: str | Path, *, frames: int = 12, point: int | None = None
) -> Steps[Step, None, Path]:
    """The steps of `export`."""
    path = Path(path)
    if path.suffix.lower() not in (".gif", ".webp", ".png"):
        raise ValueError(f"{path.name} ends in {path.suffix!r}; expected .gif, .webp or .png (animated)")
    generator = search.generator
    if generator.kind != "image":
        raise ValueError(f"{generator.name} makes signals; an animation needs images")
    make_folder(path.parent)
    low, high = generator.value_range
    outputs = (yield from search.walk_steps(frames=frames, point=point)).float().cpu()
    pixels = ((outputs - low) / (high - low) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    pictures = [Image.fromarray(p[..., 0] if p.shape[-1] == 1 else p) for p in pixels]
    lossless: dict[str, Any] = {"lossless": True} if path.suffix.lower() == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=_FRAME_MS, loop=0, **lossless)
    save_file({"latents": search.path().latents.cpu().contiguous()}, path.with_suffix(".safetensors"))
    return path
