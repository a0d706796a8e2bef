"""How the documentation is built: ``sphinx-build -W -b html docs docs/_build/html``, without any network."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "tornado_session"
author = "the tornado_session developers"
version = release = installed_version("tornado-session-state")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "inventories",  # before intersphinx, which reads what it writes
    "sphinx.ext.intersphinx",
    "diagrams",
    "option_tables",
]
exclude_patterns = ["_build", "_ext", "_inventories", "tutorial", "_static/screenshots/README.md"]
root_doc = "index"
needs_sphinx = "8.0"

# -- pages ------------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
suppress_warnings = ["myst.xref_missing_external"]

html_theme = "furo"
html_title = f"tornado_session {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "tango"
pygments_dark_style = "native"

# -- reference --------------------------------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
nitpicky = True
# What stands in a signature, but is no name that a reader could look up.
nitpick_ignore = [
    ("py:class", "AnyCollection"),
    ("py:class", "RedisClient"),
    ("py:class", "SessionHost"),
    ("py:class", "SessionStore"),
    ("py:class", "SessionValues"),
    ("py:class", "StoredCookie"),
    ("py:class", "T"),
    ("py:class", "TooLargeError"),
    ("py:class", "Items"),
    ("py:class", "optional"),
]
nitpick_ignore_regex = [
    (r"py:.*", r"tornado_session\.(values|session\.SessionHost|store|items\.Items|errors\.TooLargeError).*"),
    (r"py:.*", r"tornado_session\.caching\.redis_\w+\..*"),
    (r"py:obj", r"typing\.Literal\[.*"),
]

intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "_inventories/_built/python.inv"),
    "tornado": ("https://www.tornadoweb.org/en/stable", "_inventories/_built/tornado.inv"),
    "sqlalchemy": ("https://docs.sqlalchemy.org/en/20", "_inventories/_built/sqlalchemy.inv"),
    "pymongo": ("https://pymongo.readthedocs.io/en/stable", "_inventories/_built/pymongo.inv"),
}
