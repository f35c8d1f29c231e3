"""The site: Sphinx builds it from docs/, the stored notebooks and the pages beside them.

    sphinx-build -c docs . docs/_build/html

The source folder is the root of the repository, so that pages, notebooks and data link to each
other by the same paths on the site as in a checkout. Nothing is executed and nothing is fetched.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import tempo_lab
from tempo_lab.analysis import Result

project = "Tempo Lab"
author = "The Tempo Lab authors"
copyright = author
version = release = tempo_lab.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]

# Pages

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*",
    "data/README.md",
    "benchmarks/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [
    "docs/_build", ".*", "docs/conf.py", "docs/_static", "tempo_lab", "tests", "results", "runs",
    "checkpoints", "dist", "build",
]  # fmt: skip
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # the default loads them from a CDN
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_math_renderer = "mathml"  # MathJax would come from a CDN
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # two classes of one name: `resolve_name` leaves it unlinked

# Reference

default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "npt.ArrayLike": "ArrayLike"}
autodoc_inherit_docstrings = False
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"tempo_lab\.(common|model|session)\..+"),  # parts of the engine in signatures
    ("py:class", r"tempo_lab\..+\.[A-Z]"),  # type variables
]

# Theme

html_theme = "pydata_sphinx_theme"
html_title = "Tempo Lab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "to_index.html"}
templates_path = ["_templates"]
html_sidebars = {f"docs/{page}": [] for page in ("index", "method", "reports", "limits")}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_exclude = ".linenos, .gp, .go"


def resolve_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | nodes.TextElement | None:
    """Link a name in backticks or in a signature that is written without its module.

    `Session.ask` links to `tempo_lab.Session.ask`. Names of arguments and of other libraries stay
    as they are. A type of this library that the reference does not have is a warning.
    """
    kind, target = node.get("reftype"), node.get("reftarget", "")
    if node.get("refdomain") != "py" or kind not in ("obj", "class"):
        return None
    known = env.domains.python_domain.objects
    if "." in target or target[:1].isupper():
        found = {known[name].node_id: name for name in known if f".{name}".endswith(f".{target}")}
        if len(found) == 1:
            ((anchor, name),) = found.items()
            return make_refnode(
                app.builder, node["refdoc"], known[name].docname, anchor, text, title=name
            )
    return None if kind == "class" and target.startswith("tempo_lab.") else text


def complete(app: Sphinx, kind: str, name: str, what: Any, options: Any, lines: list[str]) -> None:
    """Link "docs/method.md section 2" of a docstring, and list the variables of a result."""
    cited = r"docs/method\.md\s+(sections? (\d)(?:(?:,| and| to) \d)*)"
    lines[:] = re.sub(cited, r":ref:`\1 of the method <method-\2>`", "\n".join(lines)).split("\n")
    if isinstance(what, type) and issubclass(what, Result) and what is not Result:
        lines += ["", "Variables of ``data``:", ""]
        for variable, (dims, units, meaning) in what.QUANTITIES.items():
            shape = f" [{', '.join(dims)}]" if dims else ""
            unit = "" if units == "1" else f", {units}"
            lines.append(f"* ``{variable}{shape}``{unit}: {meaning}")


def show_math(writer: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    # docutils knows the sizes of delimiters with a side only
    formula = re.sub(r"\\([bB]igg?)(?![a-z])", r"\\\1l", node.astext())
    writer.body.append(tex2mathml(formula, as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (show_math, None), (show_math, None))
    app.connect("missing-reference", resolve_name)
    app.connect("autodoc-process-docstring", complete)
