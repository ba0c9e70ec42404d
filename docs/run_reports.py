"""Run the reports of the gallery: `python docs/run_reports.py FOLDER`. What is there and still true is kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.harness import NoChromium, launched  # noqa: E402
from workbench.reports import Report, catalogue, run  # noqa: E402

SIZES = Path(__file__).with_name("reports.toml")
#: Beside a report: what it was made from.
STAMP = "made-from.txt"


def parameters(name: str) -> dict[str, Any]:
    """What a report of the gallery is asked."""
    return tomllib.loads(SIZES.read_text(encoding="utf-8")).get(name, {})


def made_from(report: Report) -> str:
    """SHA-256 of the notebook, its parameters and the package."""
    digest = hashlib.sha256(report.sha256.encode())
    digest.update(json.dumps(parameters(report.name), sort_keys=True).encode())
    for path in sorted((ROOT / "workbench").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main(folder: Path) -> None:
    """Run what is missing or was made from something else."""
    # the kernel of a report imports this checkout
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    failed = []
    for report in catalogue():
        out, source = folder / report.name, made_from(report)
        stamp = out / STAMP
        if stamp.exists() and stamp.read_text(encoding="utf-8") == source:
            continue
        shutil.rmtree(out, ignore_errors=True)
        done = run(report.name, parameters(report.name), out)
        print(f"{report.name}: {done.status} in {done.seconds:.0f} s {done.error}", flush=True)
        if done.status != "finished":
            failed.append(report.name)
            continue
        picture(out / "report.html", out / "report.png")
        stamp.write_text(source, encoding="utf-8")
    if failed:
        sys.exit(f"these reports failed: {', '.join(failed)}")


def picture(page: Path, path: Path) -> None:
    """Save how a page looks at its first figure, where there is a Chromium."""
    with sync_playwright() as playwright:
        try:
            browser = launched(playwright)
        except NoChromium:
            return
        tab = browser.new_page(viewport={"width": 1000, "height": 750})
        tab.goto(page.resolve().as_uri())
        if tab.locator(".js-plotly-plot").count():
            top = "document.querySelector('.js-plotly-plot').getBoundingClientRect().top"
            tab.evaluate(f"() => scrollBy(0, {top} - 140)")
        tab.wait_for_timeout(500)
        tab.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
