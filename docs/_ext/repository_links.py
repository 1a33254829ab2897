"""A link to a folder of the repository, which a forge can show and the site has not: the site has its text alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


class FoldersAreText(SphinxPostTransform):
    default_priority = 8
    """Before MyST resolves what is left (9), and warns of it."""

    def run(self, **_: Any) -> None:
        here = Path(self.env.doc2path(self.env.current_document.docname)).parent
        for node in list(self.document.findall(pending_xref)):
            if node["reftype"] == "myst" and (here / node["reftarget"]).is_dir():
                node.replace_self(node.children)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(FoldersAreText)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
