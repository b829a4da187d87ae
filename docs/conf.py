"""How `nox -s docs` makes pages of all that is written down.

The checkout's root is the source, so that a link to what lies outside `docs/` is looked at like any other.
"""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "rejeu"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "benchmarks/*.md", "tests/faults/*.md", "infra/ansible/roles/*/*.md"]
exclude_patterns = [".*", "build", "reports"]
nitpicky = True
myst_heading_anchors = 4  # GitHub gives every heading an anchor too, and by the same rule
html_theme = "sphinx_book_theme"
html_title = project
html_copy_source = False


def setup(app: Sphinx) -> None:
    app.add_lexer("mermaid", TextLexer)  # GitHub draws it; here it is text, since a script would have to be fetched
