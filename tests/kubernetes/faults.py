"""Makes one mistake after the other in the manifests, and sees that each is found: faults.py MANIFESTS SCHEMAS."""

import copy
import sys
from pathlib import Path

import yaml

import check
import names
import schemas

# Kind, the way to a field in it, what it is set to (GONE: taken away), and words of what has to be said then.
GONE = object()
POD = ["spec", "template", "spec"]
SERVER = [*POD, "containers", 0]
MIGRATE = [*POD, "initContainers", 0]
MISTAKES = [
    # Against Kubernetes' schemas.
    ("Deployment", [*POD, "initContainer"], [], "'initContainer' was unexpected"),
    ("Deployment", [*SERVER, "readinessProb"], {}, "'readinessProb' was unexpected"),
    ("Deployment", [*SERVER, "ports", 0, "containerPort"], "8080", "is not of type"),
    ("Deployment", ["apiVersion"], "apps/v2", "Couldn't find schema"),
    ("Service", ["spec", "selectors"], {}, "'selectors' was unexpected"),
    ("HorizontalPodAutoscaler", ["spec", "maxReplicas"], GONE, "'maxReplicas' is a required property"),
    ("PodDisruptionBudget", ["spec", "maxUnavailble"], 1, "'maxUnavailble' was unexpected"),
    ("NetworkPolicy", ["spec", "ingress", 0, "form"], [], "'form' was unexpected"),
    # Against each other and the gateway.
    ("Service", ["spec", "selector", "app.kubernetes.io/name"], "gateway", "Service: its selector"),
    ("Deployment", ["spec", "selector", "matchLabels", "tier"], "front", "Deployment: its selector"),
    ("PodDisruptionBudget", ["spec", "selector", "matchLabels"], {"app": "gateway"}, "PodDisruptionBudget: its selector"),
    ("HorizontalPodAutoscaler", ["spec", "scaleTargetRef", "name"], "gateway", "its target is not the Deployment"),
    ("Deployment", ["spec", "replicas"], 2, "the autoscaler's"),
    ("Deployment", [*POD, "serviceAccountName"], "gateway", "no such ServiceAccount"),
    ("Service", ["spec", "ports", 0, "targetPort"], 8082, "no container has the port 8082"),
    ("Deployment", [*SERVER, "ports", 0, "containerPort"], 8082, "SENTIMENT_LISTEN is not"),
    ("Deployment", [*SERVER, "ports", 1, "containerPort"], 8080, "SENTIMENT_HEALTH_LISTEN is not"),
    ("Deployment", [*SERVER, "readinessProbe", "httpGet", "path"], "/ready", "readinessProbe asks"),
    ("Deployment", [*SERVER, "livenessProbe", "httpGet", "path"], "/readyz", "only /healthz"),
    ("Deployment", [*SERVER, "startupProbe"], GONE, "startupProbe asks"),
    ("Deployment", [*SERVER, "image"], "sentiment-gatewy", "sentiment-gatewy: kustomization.yaml"),
    ("Deployment", [*SERVER, "env", 0, "valueFrom", "secretKeyRef", "name"], "database-app", "nobody makes the secret"),
    ("Deployment", [*SERVER, "env", 1, "name"], "DATABASE", "the gateway has no setting DATABASE"),
    ("Deployment", [*SERVER, "env", 1, "value"], "postgresql://a:b@c/d?sslmode=require", "DATABASE_URL is a secret"),
    ("Deployment", [*SERVER, "env", 1, "value"], "$(DATABASE_URI)", "does not demand TLS"),
    ("Deployment", [*SERVER, "env", 1, "value"], "$(URI)?sslmode=require", "do not come before"),
    ("Deployment", [*SERVER, "env", 2, "value"], "/etc/ca.crt", "no volume holds the file /etc/ca.crt"),
    ("Deployment", [*MIGRATE, "args"], ["migrat"], "no command"),
    ("Deployment", [*MIGRATE, "args"], ["serve"], "does not migrate"),
    ("Deployment", [*MIGRATE, "env", 3, "value"], "30d", "SENTIMENT_RETENTION differs"),
    ("Deployment", [*POD, "volumes", 0, "secret", "items"], GONE, "all of the secret"),
    ("Deployment", [*POD, "securityContext", "runAsNonRoot"], GONE, "may run as root"),
    ("Deployment", [*POD, "hostNetwork"], True, "hostNetwork"),
    ("Deployment", [*POD, "automountServiceAccountToken"], GONE, "token of Kubernetes"),
    ("Deployment", [*SERVER, "securityContext", "readOnlyRootFilesystem"], False, "gateway: it is not confined"),
    ("Deployment", [*MIGRATE, "securityContext", "privileged"], True, "migrate: it is not confined"),
    ("Deployment", [*SERVER, "resources", "limits"], GONE, "gateway: it has no limits"),
    ("Deployment", [*POD, "terminationGracePeriodSeconds"], 30, "killed before"),
    ("NetworkPolicy", ["spec", "egress", 0, "ports", 0, "port"], 5433, "does not reach the database"),
    ("NetworkPolicy", ["spec", "ingress", 0, "from"], GONE, "entered from anywhere"),
    ("NetworkPolicy", ["spec", "podSelector", "matchLabels"], {"app": "gateway"}, "it is of no pods"),
    ("HorizontalPodAutoscaler", ["spec", "maxReplicas"], 10, "max_connections"),
]
# These too, where CloudNativePG's schemas are there.
CUSTOM = [
    ("Cluster", ["spec", "instance"], 3, "'instance' was unexpected"),
    ("Cluster", ["spec", "instances"], "three", "is not of type 'integer'"),
    ("Cluster", ["spec", "postgresql", "extensions", 0, "image", "ref"], "a", "'ref' was unexpected"),
    ("Cluster", ["spec", "storage", "sise"], "1Gi", "'sise' was unexpected"),
    ("Database", ["spec", "owner"], GONE, "'owner' is a required property"),
    ("Database", ["spec", "ensure"], "there", "is not one of"),
    ("Database", ["apiVersion"], "postgresql.cnpg.io/v2", "no such kind"),
]
# Right by every schema.
OF_DATABASE = [
    ("Database", ["spec", "cluster", "name"], "database", "no such Cluster"),
    ("Database", ["spec", "name"], "postgres", "not the one of which"),
    ("Database", ["spec", "owner"], "sentiment", "called as the schema"),
    ("Database", ["spec", "extensions"], [{"name": "pg_sentiment"}], "could not train"),
    ("Cluster", ["metadata", "name"], "database", "nobody makes the secret"),
    ("Cluster", ["spec", "postgresql", "extensions", 0, "name"], "sentiment", "not mounted"),
]


def with_mistake(resources, kind, way, value):
    resources = copy.deepcopy(resources)
    place = next(resource for resource in resources if resource["kind"] == kind)
    for step in way[:-1]:
        place = place[step]
    if value is GONE:
        del place[way[-1]]
    else:
        place[way[-1]] = value
    return resources


def main(manifests, directory):
    published = schemas.Schemas(Path(directory))
    gateway = names.Gateway.of_source(Path(__file__).resolve().parents[2] / "gateway/src")
    kustomization = yaml.safe_load((Path(manifests) / "kustomization.yaml").read_text())
    resources = check.read(Path(manifests) / name for name in kustomization["resources"])
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sms"}, "stringData": {"auth-token": "t"}}
    cases = [("a Secret", [*resources, secret], "no secret belongs into a manifest")]
    for kind, way, value, said in MISTAKES + OF_DATABASE + (CUSTOM if published.custom else []):
        label = f"{kind} {'.'.join(map(str, way))} = {'nothing' if value is GONE else value!r}"
        cases.append((label, with_mistake(resources, kind, way, value), said))
    missed = 0
    for label, wrong, said in cases:
        found = check.faults(wrong, kustomization, published, gateway)
        if not any(said in fault for fault in found):
            missed += 1
            print(f"not found: {label}\n  what was said instead: {found}", file=sys.stderr)
    if not missed:
        print(f"{len(cases)} mistakes, each found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
