"""Drive a real JupyterLab with a real Chromium: start both, open notebooks, watch what they send."""

from __future__ import annotations

import ast
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, Playwright, WebSocket

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(os.environ.get("WORKBENCH_SCREENSHOTS") or Path(__file__).parent / "screenshots")
#: Pixels of a screenshot by pixels of the page: 2 where pictures are made for the documentation.
SCALE = float(os.environ.get("WORKBENCH_SCREENSHOT_SCALE") or 1)
CHROMIUM_ARGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_OVERRIDES = {
    # Without these JupyterLab asks the network for news and updates.
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


class NoChromium(Exception):
    """There is none to drive; the message says what to do."""


def find_chromium(bundled: str) -> str:
    """Return a Chromium to drive: ``WORKBENCH_CHROMIUM``, one on the PATH, or Playwright's own.

    Raises:
        NoChromium: none of these is there.
    """
    asked = os.environ.get("WORKBENCH_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/usr/bin/chromium")
    for candidate in [asked] if asked else [*map(shutil.which, names), bundled]:
        if candidate and Path(candidate).exists():
            return candidate
    raise NoChromium(
        (f"WORKBENCH_CHROMIUM is {asked}, which does not exist. " if asked else "No Chromium was found. ")
        + "Install one with 'apt-get install chromium' or 'python -m playwright install chromium', "
        "or set WORKBENCH_CHROMIUM to its path."
    )


def launched(playwright: Playwright) -> Browser:
    """A Chromium that was found.

    Raises:
        NoChromium: there is none.
    """
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium refuses its sandbox to root
    return playwright.chromium.launch(
        executable_path=find_chromium(playwright.chromium.executable_path),
        args=[*CHROMIUM_ARGS, *(["--no-sandbox"] if root else [])],
    )


def screenshot_path(name: str) -> Path:
    """Return where a screenshot of this name belongs."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS / f"{name}.png"


class KernelError(AssertionError):
    """Code that a test ran in the kernel failed there."""


class Kernel:
    """The kernel behind a notebook, asked directly: Python code in, plain values out."""

    def __init__(self, connection_file: Path) -> None:
        from jupyter_client.blocking import BlockingKernelClient

        # Playwright keeps an event loop in this thread, which the client must not meet.
        self._thread = ThreadPoolExecutor(1)
        self._client = BlockingKernelClient(connection_file=str(connection_file))
        self._thread.submit(self._connect).result(30)

    def _connect(self) -> None:
        self._client.load_connection_file()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=30)

    def run(self, code: str, timeout: float = 60) -> str:
        """Run code in the notebook's namespace and return what it printed."""
        printed: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                raise KernelError("\n".join([f"the kernel failed in {code!r}", *content["traceback"]]))

        def execute() -> None:
            self._client.execute_interactive(code, store_history=False, timeout=timeout, output_hook=hook)

        self._thread.submit(execute).result(timeout + 5)
        return "".join(printed)

    def value(self, expression: str) -> Any:
        """Return the value of an expression made of plain Python values."""
        return ast.literal_eval(self.run(f"print(repr({expression}))").strip().splitlines()[-1])

    def close(self) -> None:
        self._thread.submit(self._client.stop_channels).result(10)
        self._thread.shutdown()


@dataclass
class Watch:
    """What a page did: errors on its console, requests that left this machine, frames sent to kernels."""

    console_errors: list[str] = field(default_factory=list)
    external_requests: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  # types of the messages sent to kernels

    def attach(self, page: Page) -> None:
        page.on("console", lambda m: self.console_errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on("request", lambda request: self._request(request.url))
        page.on("websocket", self._websocket)

    def _request(self, url: str) -> None:
        parts = urlparse(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in (
            "127.0.0.1",
            "localhost",
        ):
            self.external_requests.append(url)

    def _websocket(self, socket: WebSocket) -> None:
        self._request(socket.url)
        if "/channels" in socket.url:
            socket.on("framesent", self._frame)

    def _frame(self, payload: str | bytes) -> None:
        text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
        if found := re.search(r'"msg_type":\s*"(\w+)"', text):
            self.sent.append(found[1])

    def comm_messages(self) -> int:
        """Number of widget messages sent to kernels so far."""
        return sum(kind.startswith("comm") for kind in self.sent)


class NotebookPage:
    """A notebook open in JupyterLab."""

    def __init__(self, lab: Lab, page: Page, watch: Watch) -> None:
        self.lab = lab
        self.page = page
        self.watch = watch
        self._kernel: Kernel | None = None

    @property
    def kernel(self) -> Kernel:
        """A second client of this notebook's kernel."""
        if self._kernel is None:
            name = self.page.evaluate(
                "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id"
            )
            self._kernel = Kernel(self.lab.runtime / f"kernel-{name}.json")
        return self._kernel

    def stroke(self, area: Locator, *points: tuple[float, float], steps: int = 10) -> None:
        """Drag the pointer through points given as shares of an area, with so many moves to each."""
        box = area.bounding_box()
        assert box is not None
        at = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in points]
        self.page.mouse.move(*at[0])
        self.page.mouse.down()
        for place in at[1:]:
            self.page.mouse.move(*place, steps=steps)
        self.page.mouse.up()

    def restarted(self) -> None:
        """The kernel was killed and started again: what is asked of it next goes to the new one.

        What the browser said of the death of the old one is forgotten.
        """
        self.watch.console_errors.clear()
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def awaited(self, script: str, timeout: float = 15) -> None:
        """Run JavaScript that waits for something, for so many seconds at most.

        Playwright's own limits do not hold for promises in the page. A test that fails here tells what the
        kernel did and which dialog, if any, waited for an answer.
        """
        self.page.evaluate(
            """async ([script, limit]) => {
                const work = new (async () => {}).constructor(script)();
                let timer;
                const late = new Promise((_, reject) => timer = setTimeout(() => {
                    const session = window.jupyterapp.shell.currentWidget?.sessionContext;
                    const dialogs = [...document.querySelectorAll(".jp-Dialog")].map(e => e.innerText);
                    const kernel = session?.session?.kernel;
                    reject(new Error(`not done after ${limit} s: kernel ${kernel?.status}, ` +
                        `${kernel?.connectionStatus}, dialogs ${JSON.stringify(dialogs)}, in ${script}`));
                }, 1000 * limit));
                try { await Promise.race([work, late]); } finally { clearTimeout(timer); }
            }""",
            [script, timeout],
        )

    def save(self) -> None:
        """Save the notebook."""
        self.awaited("await window.jupyterapp.commands.execute('docmanager:save')")

    def run_all(self, timeout: float = 120) -> None:
        """Run all cells and wait until they are done; a cell that failed fails the test."""
        self.awaited(
            """
            const session = window.jupyterapp.shell.currentWidget.sessionContext;
            await session.ready;
            await session.session.kernel.info;
            await window.jupyterapp.commands.execute("notebook:run-all-cells");
            """,
            timeout,
        )
        errors = self.page.locator(
            ".jp-RenderedText[data-mime-type='application/vnd.jupyter.error'], "
            ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] .ansi-red-fg"
        )
        assert errors.count() == 0, errors.first.inner_text()

    def set_theme(self, name: str) -> None:
        """Change the theme, e.g. to "JupyterLab Dark"."""
        self.awaited(f"await window.jupyterapp.commands.execute('apputils:change-theme', {{theme: {name!r}}})")
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
        self.page.wait_for_timeout(300)

    def screenshot(self, name: str, locator: Locator | None = None) -> Path:
        """Save a picture of the page, or of one element, and return its path."""
        path = screenshot_path(name)
        (locator or self.page).screenshot(path=path)
        return path

    def picture(self, name: str, locator: Locator | None = None) -> None:
        """Save a picture for the documentation in the light and the dark theme: `name` and `name`-dark.

        Only where `WORKBENCH_SCREENSHOTS` says where to.
        """
        if "WORKBENCH_SCREENSHOTS" not in os.environ:
            return
        locator = locator or self.page.locator(".jp-OutputArea-output").last
        self.screenshot(name, locator)
        self.set_theme("JupyterLab Dark")
        self.settle(700)
        self.screenshot(f"{name}-dark", locator)
        self.set_theme("JupyterLab Light")

    def settle(self, milliseconds: float = 250) -> None:
        """Let the browser draw, and messages that are on their way arrive."""
        self.page.wait_for_timeout(milliseconds)

    def until(self, expression: str, expected: Any, timeout: float = 15) -> None:
        """Wait until an expression in the kernel has this value; one that fails has none yet."""
        end = time.monotonic() + timeout
        while (value := self._value(expression)) != expected:
            assert time.monotonic() < end, f"{expression} is {value!r}, not {expected!r}"
            self.page.wait_for_timeout(50)

    def _value(self, expression: str) -> Any:
        try:
            return self.kernel.value(expression)
        except KernelError as error:
            return error

    def assert_clean(self) -> None:
        """No request may have left this machine, and nothing may have failed in the browser."""
        assert self.watch.external_requests == []
        assert self.watch.console_errors == [], self.watch.console_errors

    def close(self) -> None:
        if self._kernel:
            self._kernel.close()
        self.page.context.close()
        self.lab.shut_down_kernels()


def on_map(notebook: NotebookPage, x: str, y: str) -> tuple[float, float]:
    """Where a point of the class map `plot` is on the page."""
    canvas = notebook.page.locator(".bk-Canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    f = "plot.figure"
    across = notebook.kernel.value(f"float(({x} - {f}.x_range.start) / ({f}.x_range.end - {f}.x_range.start))")
    up = notebook.kernel.value(f"float(({y} - {f}.y_range.start) / ({f}.y_range.end - {f}.y_range.start))")
    wide, high = notebook.kernel.value(f"({f}.inner_width, {f}.inner_height)")
    left, bottom = (
        box["x"] + (box["width"] - wide) / 2,
        box["y"] + box["height"] - 4,
    )  # the toolbar is above the frame
    return left + across * wide, bottom - up * high


class Lab:
    """A JupyterLab server of its own: free port, token, and folders that die with the tests."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "notebooks"
        self.runtime = folder / "runtime"
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        settings = folder / "settings"
        for path in (self.root, self.runtime, settings):
            path.mkdir()
        (settings / "overrides.json").write_text(json.dumps(_OVERRIDES))
        self._log = folder / "lab.log"
        python = Path(sys.executable).parent
        environment = {
            **os.environ,
            # The kernel's command is a bare `python`.
            "PATH": os.pathsep.join(filter(None, [str(python), os.environ.get("PATH")])),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "JUPYTER_PREFER_ENV_PATH": "1",
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "IPYTHONDIR": str(folder / "ipython"),
        }
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"),
            *("--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"),
            *(f"--ServerApp.root_dir={self.root}", f"--LabApp.app_settings_dir={settings}"),
            *("--ServerApp.terminals_enabled=False", "--LabApp.expose_app_in_browser=True"),
            *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        self._wait()

    def _wait(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                self.api("GET", "status")
                return
            except OSError:
                time.sleep(0.2)
        self.close()
        pytest.fail(f"JupyterLab did not start:\n{self._log.read_text()[-3000:]}", pytrace=False)

    def api(self, method: str, path: str) -> Any:
        """Call the server's REST interface and return the decoded answer."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def write(self, name: str, sources: Sequence[str]) -> str:
        """Write a notebook of code cells and return its file name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, self.root / f"{name}.ipynb")
        return f"{name}.ipynb"

    @contextmanager
    def opened(
        self,
        browser: Browser,
        sources: Sequence[str] | Path,
        *,
        width: int = 1280,
        height: int = 1100,
        run: bool = True,
        **context: Any,
    ) -> Iterator[NotebookPage]:
        """Open a notebook (cell sources, or a file to copy) in JupyterLab; its kernel ends with it."""
        if isinstance(sources, Path):
            file = shutil.copy(sources, self.root / sources.name).name
        else:
            file = self.write(f"test-{secrets.token_hex(4)}", sources)
        page = browser.new_context(
            viewport={"width": width, "height": height},
            accept_downloads=True,
            **{"device_scale_factor": SCALE, **context},
        ).new_page()
        page.set_default_timeout(15_000)
        watch = Watch()
        watch.attach(page)
        notebook = NotebookPage(self, page, watch)
        try:
            page.goto(f"{self.url}/lab/tree/{file}?token={self.token}&reset", timeout=60_000)
            page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
            notebook.awaited("await window.jupyterapp.restored", 60)
            page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
            if run:
                notebook.run_all()
            yield notebook
        finally:
            notebook.close()

    def shut_down_kernels(self) -> None:
        for session in self.api("GET", "sessions"):
            self.api("DELETE", f"sessions/{session['id']}")
        for kernel in self.api("GET", "kernels"):
            self.api("DELETE", f"kernels/{kernel['id']}")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
