"""Find the files that travel beside the package: browser modules, style sheets and notebooks."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def asset(name: str) -> Path:
    """Return the path of a shipped file, e.g. ``asset("widgets/film-strip/film-strip.js")``.

    An installed wheel carries these files in ``workbench/_bundled``; a checkout has them at its root.

    Raises:
        FileNotFoundError: neither place has the file.
    """
    tried = [_PACKAGE / "_bundled" / name, _PACKAGE.parent / name]
    for path in tried:
        if path.exists():
            return path
    raise FileNotFoundError(
        f"The file {name!r} that should come with the workbench was not found; looked at "
        + " and ".join(str(path) for path in tried)
        + ". Reinstall the package (pip install --force-reinstall latent-workbench) or run from a checkout."
    )


def asset_text(name: str) -> str:
    """Return what a shipped file holds.

    Widgets take their modules so: anywidget keeps each widget alive for good whose module it watches as a file.

    Raises:
        FileNotFoundError: as `asset`.
    """
    return asset(name).read_text(encoding="utf-8")
