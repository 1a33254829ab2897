"""The documentation as a site: `make docs` builds it, so does `make check`, and what Sphinx warns of is an error."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ["DOWNHAUL_AUTOSTART"] = "0"  # the reference imports the SDK

project = "Downhaul"
project_copyright = "the authors of Downhaul, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "http_reference", "python_reference", "repository_links"]
exclude_patterns = ["_build", "README.md"]

myst_heading_anchors = 4
myst_enable_extensions = ["strikethrough"]

default_role = "code"  # what docstrings have in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = "Downhaul"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"footer_icons": []}
pygments_style = "friendly"
pygments_dark_style = "monokai"
