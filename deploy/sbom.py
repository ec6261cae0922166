#!/usr/bin/env python3
"""Writes the SBOM of the root package as CycloneDX JSON on standard output.

    cargo metadata --locked --format-version 1 | deploy/sbom.py Cargo.lock

It lists every package that the root package reaches through normal dependencies. Dev-dependencies and
build-dependencies are left out, since nothing of them is in the binary. Checksums come from Cargo.lock, and the time
from SOURCE_DATE_EPOCH, so the same input gives the same bytes. Needs Python 3.11.
"""

import json
import os
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from urllib.parse import quote


def normal_dependencies(node):
    """The ids of the packages that a node of the resolve graph has as normal dependencies."""
    return {dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])}


def reachable(graph, root):
    """The ids that `root` reaches, itself included."""
    found, waiting = set(), [root]
    while waiting:
        package = waiting.pop()
        if package not in found:
            found.add(package)
            waiting.extend(graph[package])
    return found


def purl(package):
    """The package URL. A package that is not on crates.io names its repository."""
    url = f"pkg:cargo/{package['name']}@{quote(package['version'], safe='')}"
    source = package["source"]
    if source is None:
        return f"{url}?vcs_url={quote('git+' + package['repository'], safe=':/')}"
    return url if source.startswith("registry+") else f"{url}?vcs_url={quote(source, safe=':/')}"


def licence(package):
    """The licence as an SPDX expression; some older packages write a slash for OR."""
    if package["license"]:
        return [{"expression": package["license"].replace("/", " OR ")}]
    return [{"license": {"name": package["license_file"]}}]


def component(package, checksums):
    """The CycloneDX component of a package."""
    made = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "licenses": licence(package),
        "purl": purl(package),
    }
    if package["source"] is not None and package["source"].startswith("registry+"):
        key = (package["name"], package["version"], package["source"])
        made["hashes"] = [{"alg": "SHA-256", "content": checksums[key]}]
    return made


def bom(metadata, lock):
    """The whole document."""
    packages = {package["id"]: package for package in metadata["packages"]}
    graph = {node["id"]: normal_dependencies(node) for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found = reachable(graph, root)
    checksums = {
        (package["name"], package["version"], package["source"]): package["checksum"]
        for package in lock["package"]
        if "checksum" in package
    }
    by_name = sorted(found, key=lambda id: (packages[id]["name"], packages[id]["version"], id))
    components = [component(packages[id], checksums) for id in by_name if id != root]
    dependencies = [
        {"ref": purl(packages[id]), "dependsOn": sorted(purl(packages[on]) for on in graph[id])} for id in by_name
    ]
    content = json.dumps([components, dependencies], sort_keys=True)
    time = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", 0)), timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, purl(packages[root]) + content)}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**component(packages[root], checksums), "type": "application"},
        },
        "components": components,
        "dependencies": dependencies,
    }


def main():
    with open(sys.argv[1], "rb") as lock:
        document = bom(json.load(sys.stdin), tomllib.load(lock))
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
