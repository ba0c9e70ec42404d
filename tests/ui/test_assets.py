"""The browser modules are found, and each stands alone."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.project import ROOT
from workbench.ui.assets import asset

FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "widgets").rglob("*.js"))
MODULES = [name for name in FILES if "export default" in asset(name).read_text()]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_self_contained(name):
    # It is loaded from a blob, where relative imports fail, and must work offline, where others do.
    # An `import(url)` is one of a blob, too: of what another widget holds.
    source = re.sub(r"\bimport\(url\)(?=\.finally\(\(\) => URL\.revokeObjectURL)", "", asset(name).read_text())
    assert not re.search(
        r"^\s*import\b|\bimport\s*\(|\bfrom\s+['\"]|https?://(?!www\.w3\.org/2000/svg)", source, re.M
    )
    assert source.count("export default") == 1


@pytest.mark.parametrize("name", FILES)
def test_texts_from_python_cannot_become_markup(name):
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", asset(name).read_text()
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node; the browser tests load the modules too")
@pytest.mark.parametrize("name", FILES)
def test_a_module_parses(name, tmp_path):
    copy = tmp_path / "module.mjs"
    copy.write_text(asset(name).read_text())
    done = subprocess.run(["node", "--check", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_file_is_named_with_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"no-such-widget\.js.*Reinstall"):
        asset("widgets/no-such-widget.js")
