"""Inventories for intersphinx from a few lines of text, so that a build needs no network.

``_inventories/NAME.txt`` lists what our pages refer to, one per line: role, name, page and anchor. ``$`` at the end of
an anchor stands for the name, as in Sphinx's own format, which is what this writes.
"""

import zlib
from pathlib import Path

from sphinx.application import Sphinx

_HEADER = "# Sphinx inventory version 2\n# Project: {name}\n# Version: \n# The remainder is compressed with zlib.\n"


def write_inventories(app: Sphinx, _config: object) -> None:
    """Write ``_inventories/_built/NAME.inv`` for every ``_inventories/NAME.txt``."""
    folder = Path(app.srcdir) / "_inventories"
    (folder / "_built").mkdir(exist_ok=True)
    for source in sorted(folder.glob("*.txt")):
        target = folder / "_built" / f"{source.stem}.inv"
        target.write_bytes(_inventory(source.stem, source.read_text()))


def _inventory(name: str, text: str) -> bytes:
    entries = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    lines = "".join(f"{target} {role} 1 {place} -\n" for role, target, place in entries)
    return _HEADER.format(name=name).encode() + zlib.compress(lines.encode())


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", write_inventories)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
