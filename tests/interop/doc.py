"""The code that docs/protocol.md shows, so that what is tested is what is read."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def code(*names, page="protocol.md"):
    """The blocks that the page marks with these file names, one after the other."""
    page = (ROOT / "docs" / page).read_text()
    blocks = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", page, re.S))
    return "\n".join(blocks[name] for name in names)
