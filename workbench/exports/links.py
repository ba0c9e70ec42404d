"""Where the Jupyter server that runs a kernel serves a file, so that a panel can link to it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def served(path: Path, view: str = "files") -> str | None:
    """The address of a file on this kernel's server, without host; None where no server has it below its root.

    Args:
        path: of the file.
        view: `files` for the file itself, `lab/tree` for JupyterLab showing it.
    """
    try:
        from jupyter_server.serverapp import list_running_servers

        servers = list(list_running_servers())
    except (ImportError, OSError):
        return None
    # the one that started this kernel says so; another one is as good if the file lies below its root
    servers.sort(key=lambda server: str(server.get("pid")) != os.environ.get("JPY_PARENT_PID"))
    for server in servers:
        root = Path(server.get("root_dir") or server.get("notebook_dir") or "/nowhere").resolve()
        if path.resolve().is_relative_to(root):
            place = path.resolve().relative_to(root).as_posix()
            return f"{server.get('base_url', '/')}{view}/{quote(place)}"
    return None
