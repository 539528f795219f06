"""How Sphinx makes the documentation, with `nox -s docs`.

The pages are read on a repository's site as well, where they link to files of the checkout. Here
those files are copied beside the pages; a link to a folder becomes its name.
"""

import importlib.metadata
import re
import shutil
from pathlib import Path

project = "convformance"
release = importlib.metadata.version("convformance")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = project
exclude_patterns = ["schema"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "none"
linkcheck_timeout = 20

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "conformance/SPEC.md": "spec.md",
}
"""What is a page here under another name."""
LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\((?:\.\./)?([\w./-]+?)(#[\w-]+)?\)")
linked = set()
"""The files of the checkout that pages link to."""


def resolve(app, docname, source):
    """Let links to files of the checkout lead to what the site has of them.

    A page that stands for a file of the checkout has its text.
    """
    file = next((file for file, page in PAGES.items() if page == f"{docname}.md"), None)
    if file is not None and docname != "index":
        source[0] = (ROOT / file).read_text(encoding="utf-8")
    source[0] = LINK.sub(lambda match: link(docname, *match.groups()), source[0])


def link(docname, text, target, anchor):
    """Return a link as the page ``docname`` of the site has it."""
    name = target.removeprefix("docs/")
    if target in PAGES:
        anchor = None if target == "README.md" else anchor
        return f"[{text}]({PAGES[target]}{anchor or ''})"
    if (ROOT / "docs" / name).is_file() and name.endswith(".md"):
        return f"[{text}]({name}{anchor or ''})"
    folder = "conformance" if docname == "spec" else ""
    places = (ROOT / target, ROOT / folder / target, ROOT / "docs" / target)
    path = next((place for place in places if place.exists()), None)
    if path is None:
        return f"[{text}]({target}{anchor or ''})"  # which Sphinx then complains of
    if path.is_dir():
        return text
    linked.add(path)
    return f'<a href="files/{path.relative_to(ROOT)}.txt">{text.strip("`")}</a>'


def copy_linked(app, problem):
    """Copy the files that pages link to."""
    for path in linked if problem is None else ():
        copy = Path(app.outdir) / "files" / f"{path.relative_to(ROOT)}.txt"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def setup(app):
    """Tell Sphinx of the two steps above."""
    app.connect("source-read", resolve)
    app.connect("build-finished", copy_linked)
