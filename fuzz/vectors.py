"""Writes seeds that come from elsewhere in the repository into a directory: the vectors of docs/conformance, and the
annotated settings.

    vectors.py DIRECTORY
"""

import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def vectors(name):
    return json.loads((root / "docs/conformance" / f"{name}.json").read_text())


def write(target, name, seed):
    folder = Path(sys.argv[1], target)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / re.sub("[^a-z0-9]", "-", name.lower())).write_bytes(seed)


def pushes(frames):
    """Returns the input that consists of these frames in JSON: the encoding, then each frame after its length."""
    return b"\0" + b"".join(len(frame).to_bytes(2, "little") + frame for frame in frames)


frames = vectors("frames")
for vector in frames["client"]:
    write("frames", vector["name"], b"\0" + vector["text"].encode())
for vector in frames["server"]:
    write("pushes", vector["name"], pushes([vector["text"].encode()]))
for kind in ["merge", "repair"]:
    for case in vectors(kind)["cases"]:
        taken = [json.dumps(step["take"]).encode() for step in case["steps"] if "take" in step]
        write("pushes", f"{kind}-{case['name']}", pushes(taken))
write("settings", "defaults", (root / "config.toml").read_bytes())
