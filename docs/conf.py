"""How Sphinx builds the documentation: `make docs`, offline, into docs/_build/html."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
for folder in (ROOT, DOCS):
    sys.path.insert(0, str(folder))
# kernels of the pages import this checkout and docs/extensions, whatever folder they start in
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(DOCS), os.environ.get("PYTHONPATH", "")])

import workbench  # noqa: E402

project = "Latent Workbench"
author = "the Latent Workbench developers"
release = version = workbench.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "extensions.docstrings",
    "extensions.mathml",
    "extensions.tutorials",
    "extensions.pictures",
    "extensions.plotly_figures",
    "extensions.claims",
    "extensions.gallery",
    "extensions.command_line",
]
exclude_patterns = ["_build", "_templates", "extensions", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]
nitpicky = False
suppress_warnings = [
    "mystnb.unknown_mime_type",  # a widget whose picture was not made
    "ref.python",  # attributes of several classes have the same name
]
show_warning_types = True

# pages
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"


def fingerprint() -> str:
    """Of all that computes: figures that another state of the package has made are not taken again."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "workbench").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# cells: those of the methods' pages run when the package or the page changes, those of tutorials never
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "cells" / fingerprint())
nb_execution_excludepatterns = ["tutorials/*"]
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

# reference
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False  # the docstrings give the shapes
napoleon_use_ivar = True  # else an attribute that is a property, too, would be described twice
default_role = "code"
python_maximum_signature_line_length = 88
add_module_names = False

# looks
html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["workbench.css"]
html_context = {"default_mode": "auto"}
html_show_search_summary = False  # a page that is opened from a file cannot fetch the others
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
    "navigation_with_keys": False,
    "back_to_top_button": False,
}
html_sidebars = {"index": [], "install": [], "gallery": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
