"""The published schemas: Kubernetes' own from kubernetes-validate, CloudNativePG's from its custom resource definitions."""

import json

import jsonschema
import kubernetes_validate
import yaml

# The oldest that has image volumes, and the newest that the package knows.
VERSIONS = ["1.33", kubernetes_validate.latest_version()]


def closed(schema):
    """The schema, but a field that it does not name is a fault; an API server would drop it and say nothing."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: part if key in ("enum", "default", "example") else closed(part) for key, part in schema.items()}
    # A property may be called properties: what is meant is a schema that has some.
    if (
        schema.get("type") == "object"
        and isinstance(schema.get("properties"), dict)
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        schema.setdefault("additionalProperties", False)
    return schema


class Schemas:
    def __init__(self, directory):
        self.custom = {}
        # Kinds that could not be checked.
        self.missing = set()
        # What was found before: reading Kubernetes' schemas takes most of the time.
        self.found = {}
        for file in sorted(directory.glob("cloudnative-pg/*.yaml")):
            definition = yaml.safe_load(file.read_text())["spec"]
            for version in definition["versions"]:
                key = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
                self.custom[key] = jsonschema.Draft202012Validator(closed(version["schema"]["openAPIV3Schema"]))

    def faults(self, resource):
        """What the schemas have against it, in words."""
        key = json.dumps(resource)
        if key not in self.found:
            self.found[key] = self.find(resource)
        return self.found[key]

    def find(self, resource):
        kind, version = resource["kind"], resource["apiVersion"]
        where = f"{kind} {resource['metadata']['name']}"
        if (version, kind) in self.custom:
            return [
                f"{where}: {'.'.join(map(str, error.path))}: {error.message}"
                for error in self.custom[version, kind].iter_errors(resource)
            ]
        if version.startswith("postgresql.cnpg.io/"):
            self.missing.add(kind)
            return [f"{where}: CloudNativePG has no such kind in {version}"] if self.custom else []
        found = []
        for wanted in VERSIONS:
            try:
                kubernetes_validate.validate(resource, wanted, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"{where}: Kubernetes {wanted}: {'.'.join(map(str, error.path))}: {error.message}")
            except kubernetes_validate.SchemaNotFoundError as error:
                found.append(f"{where}: {error.message}")
        return found
