"""Write widgets into a plain HTML page without kernel or network, as an exported report will show them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_HOST = """
const decode = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
class Model {
  constructor(state) { this.state = state; this.handlers = {}; this.saved = 0; }
  get(name) { return this.state[name]; }
  set(name, value) {
    this.state[name] = value;
    for (const handler of this.handlers["change:" + name] ?? []) handler();
  }
  save_changes() { this.saved++; }
  on(name, handler) { (this.handlers[name] ??= []).push(handler); }
  off(name, handler) { this.handlers[name] = (this.handlers[name] ?? []).filter((h) => h !== handler); }
}
window.models = [];
window.ready = (async () => {
  for (const [i, widget] of JSON.parse(document.getElementById("widgets").textContent).entries()) {
    const state = widget.state;
    for (const [name, text] of Object.entries(widget.bytes)) state[name] = decode(text);
    const style = document.createElement("style");
    style.textContent = state._css;
    document.head.append(style);
    const url = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
    const module = (await import(url)).default;
    const model = new Model(state);
    window.models.push(model);
    const el = document.createElement("div");
    el.id = "widget-" + i;
    document.body.append(el);
    await module.initialize?.({ model });
    el.remove_widget = await module.render({ model, el });
  }
})();
"""


def write_page(path: Path, widgets: Sequence[Any], *, dark: bool = False, width: int = 760) -> Path:
    """Write the page; ``window.models`` holds the models, and the elements are ``#widget-0`` and so on."""
    entries = []
    for widget in widgets:
        state = widget.get_state()
        binary = {k: base64.b64encode(v).decode() for k, v in state.items() if isinstance(v, bytes | memoryview)}
        plain = {k: v for k, v in state.items() if k not in binary and k not in ("layout", "style")}
        entries.append({"state": plain, "bytes": binary})
    data = json.dumps(entries, default=str).replace("<", "\\u003c")
    scheme = "dark" if dark else "light"
    path.write_text(
        f"""<!doctype html><meta charset="utf-8"><title>widgets</title>
<style>:root {{ color-scheme: {scheme}; font-family: system-ui, sans-serif }}
body {{ max-width: {width}px; margin: 24px auto; }} body > div {{ margin-bottom: 32px }}</style>
<body><script type="application/json" id="widgets">{data}</script><script type="module">{_HOST}</script>"""
    )
    return path
