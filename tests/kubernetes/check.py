"""Checks the manifests of deploy/kubernetes: check.py MANIFESTS SCHEMAS [FILE ...], run by scripts/check-kubernetes.

Against the published schemas, in which a field that they do not know is a fault; then against each other and the gateway, for
a name that is misspelt in one place is right by every schema. FILEs are manifests as kustomize renders them.
"""

import sys
from pathlib import Path

import yaml

import names
import schemas


def read(files):
    """The resources in these files."""
    return [resource for file in files for resource in yaml.safe_load_all(file.read_text()) if resource]


def faults(resources, kustomization, published, gateway):
    """All that is wrong, in words."""
    found = [fault for resource in resources for fault in published.faults(resource)]
    # Names are looked for where the schemas say that they are.
    return found or names.faults(resources, kustomization, gateway)


def main(manifests, directory, *rendered):
    published = schemas.Schemas(Path(directory))
    gateway = names.Gateway.of_source(Path(__file__).resolve().parents[2] / "gateway/src")
    kustomization = yaml.safe_load((Path(manifests) / "kustomization.yaml").read_text())
    listed = [Path(manifests) / name for name in kustomization["resources"]]
    found = [
        f"{file.name}: kustomization.yaml does not name it"
        for file in sorted(Path(manifests).glob("*.yaml"))
        if file not in listed and file.name not in ["kustomization.yaml", *kustomization["configurations"]]
    ]
    resources = read(listed)
    found += faults(resources, kustomization, published, gateway)
    for file in rendered:
        found += faults(read([Path(file)]), None, published, gateway)
    for fault in found:
        print(fault, file=sys.stderr)
    if published.missing:
        print(f"skipped: {', '.join(sorted(published.missing))} had no schema to be checked against, for there is no {directory}")
    if not found:
        print(f"{len(resources)} manifests are as the schemas, each other and the gateway's settings have it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
