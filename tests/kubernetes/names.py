"""Whether manifests agree with each other and with the gateway: what no schema sees."""

import re
from dataclasses import dataclass

# What confines a container, as the restricted level of Kubernetes' pod security has it, and a root file system that is read only.
CONFINED = {"allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
# What other ways a pod has out of its confinement.
HOST = ["hostNetwork", "hostPID", "hostIPC"]
# Connections that are no gateway's: the operator's, replication's and the server's reserve.
RESERVE = 20
# What pg_sentiment and the gateway make in the database.
SCHEMAS = ["sentiment", "messages"]


@dataclass
class Gateway:
    """What the gateway's source says of it."""

    variables: dict  # name: its default, or None
    secret: set  # variables that are never shown
    paths: set  # routes without a key
    commands: set

    @staticmethod
    def of_source(source):
        text = "".join(file.read_text() for file in [source / "config.rs", *sorted(source.glob("config/*.rs"))])
        variables, secret = {}, set()
        for attribute in re.findall(r"#\[arg\((.*?)\)\]\n", text, re.DOTALL):
            if name := re.search(r'env = "(\w+)"', attribute):
                default = re.search(r'default_value(?:_t)? = "?([^",)]+)', attribute)
                variables[name[1]] = default and default[1]
                if "hide_env_values" in attribute:
                    secret.add(name[1])
        commands = re.search(r"pub enum Command \{(.*?)\n\}", text, re.DOTALL)[1]
        return Gateway(
            variables,
            secret,
            set(re.findall(r'path = "(/\w+)"', (source / "routes/health.rs").read_text())),
            {name.lower() for name in re.findall(r"^    (\w+)\(", commands, re.MULTILINE)},
        )


class Manifests:
    """The resources, found by kind."""

    def __init__(self, resources):
        self.resources = resources
        self.deployment = self.only("Deployment")
        self.pod = self.deployment["spec"]["template"]["spec"]
        self.labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        self.containers = self.pod["initContainers"] + self.pod["containers"]
        [self.server] = self.pod["containers"]
        self.cluster = self.only("Cluster")
        self.database = self.only("Database")
        self.ports = {port["name"]: port["containerPort"] for port in self.server["ports"]}

    def all(self, kind):
        return [resource for resource in self.resources if resource["kind"] == kind]

    def only(self, kind):
        [resource] = self.all(kind)
        return resource

    def images(self):
        """Each image that is run or mounted."""
        yield from (container["image"] for container in self.containers)
        yield self.cluster["spec"]["imageName"]
        yield from (extension["image"]["reference"] for extension in self.cluster["spec"]["postgresql"]["extensions"])

    def selects_pods(self, selector):
        """Whether a selector is one of the gateway's pods."""
        return bool(selector) and selector.items() <= self.labels.items()


def faults(resources, kustomization, gateway):
    """All that does not agree, in words. With a kustomization, images are placeholders that it knows; without, real ones."""
    kinds = [resource["kind"] for resource in resources]
    wanted = ["Cluster", "Database", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ServiceAccount"]
    missing = [f"there has to be one {kind}, and there are {kinds.count(kind)}" for kind in wanted if kinds.count(kind) != 1]
    if missing:
        return missing
    manifests = Manifests(resources)
    return [
        *images(manifests, kustomization),
        *selectors(manifests),
        *ports(manifests, gateway),
        *network(manifests),
        *secrets(manifests),
        *[fault for container in manifests.containers for fault in environment(container, manifests.pod, gateway)],
        *same_settings(manifests),
        *confinement(manifests),
        *times(manifests),
        *database(manifests, gateway),
    ]


def images(manifests, kustomization):
    if kustomization is None:
        yield from (f"image {name}: neither registry nor version" for name in manifests.images() if not re.search(r"/.*[:@]", name))
        return
    known, used = {image["name"] for image in kustomization["images"]}, set(manifests.images())
    yield from (f"image {name}: kustomization.yaml does not name it" for name in sorted(used - known))
    yield from (f"image {name}: kustomization.yaml names it, and nothing uses it" for name in sorted(known - used))


def selectors(manifests):
    spec = manifests.deployment["spec"]
    by_kind = {
        "Deployment": spec["selector"]["matchLabels"],
        "Service": manifests.only("Service")["spec"].get("selector"),
        "PodDisruptionBudget": manifests.only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    }
    for kind, selector in by_kind.items():
        if not manifests.selects_pods(selector):
            yield f"{kind}: its selector is not of the Deployment's pods"
    for spread in manifests.pod.get("topologySpreadConstraints", []):
        if not manifests.selects_pods(spread["labelSelector"]["matchLabels"]):
            yield "Deployment: what it spreads are not its own pods"
    target = manifests.only("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    deployment = manifests.deployment
    if target != {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}:
        yield "HorizontalPodAutoscaler: its target is not the Deployment"
    if "replicas" in spec:
        yield "Deployment: the number of replicas is the autoscaler's"
    if manifests.pod.get("serviceAccountName") != manifests.only("ServiceAccount")["metadata"]["name"]:
        yield "Deployment: there is no such ServiceAccount"


def ports(manifests, gateway):
    known = set(manifests.ports) | set(manifests.ports.values())
    for port in manifests.only("Service")["spec"]["ports"]:
        if port.get("targetPort") not in known:
            yield f"Service: no container has the port {port.get('targetPort')}"
    values = {entry["name"]: entry.get("value") for entry in manifests.server["env"]}
    for name, port_name in (("SENTIMENT_LISTEN", "http"), ("SENTIMENT_HEALTH_LISTEN", "health")):
        host, _, port = values.get(name, "").rpartition(":")
        if host not in ("0.0.0.0", "[::]") or int(port or 0) != manifests.ports.get(port_name):
            yield f"Deployment: {name} is not the container's port {port_name} on all addresses"
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = manifests.server.get(name, {}).get("httpGet", {})
        if probe.get("port") != "health" or probe.get("path") not in gateway.paths:
            yield f"Deployment: {name} asks what the gateway does not serve"
    if manifests.server.get("readinessProbe", {}).get("httpGet", {}).get("path") != "/readyz":
        yield "Deployment: only /readyz says whether it is ready"
    if manifests.server.get("livenessProbe", {}).get("httpGet", {}).get("path") != "/healthz":
        yield "Deployment: only /healthz says whether it lives; /readyz would have it killed for the database's sake"


def network(manifests):
    cluster = {"cnpg.io/cluster": manifests.cluster["metadata"]["name"]}
    policies = {}
    for policy in manifests.all("NetworkPolicy"):
        selector = policy["spec"]["podSelector"].get("matchLabels", {})
        name = "gateway" if manifests.selects_pods(selector) else "database" if selector == cluster else None
        if name is None:
            yield f"NetworkPolicy {policy['metadata']['name']}: it is of no pods"
        policies[name] = policy["spec"]
    if not {"gateway", "database"} <= policies.keys():
        yield "NetworkPolicy: gateway and database need one each"
        return
    known = set(manifests.ports) | set(manifests.ports.values())
    for rule in policies["gateway"].get("ingress", []):
        if not rule.get("from") or not all(port.get("port") in known for port in rule.get("ports", [{}])):
            yield "NetworkPolicy: the gateway is entered from anywhere, or by a port that it has not"
    if not opens(policies["gateway"].get("egress", []), "to", lambda selector: selector == cluster):
        yield "NetworkPolicy: the gateway does not reach the database"
    if not opens(policies["database"].get("ingress", []), "from", manifests.selects_pods):
        yield "NetworkPolicy: the database does not let the gateway in"


def opens(rules, direction, matches):
    """Whether one of these rules lets PostgreSQL's port through for such pods."""
    return any(
        port.get("port") == 5432 and matches(peer.get("podSelector", {}).get("matchLabels", {}))
        for rule in rules
        for peer in rule.get(direction, [])
        for port in rule.get("ports", [])
    )


def secrets(manifests):
    """Nothing holds a secret, and those referred to are the operator's, or may be missing."""
    made = {f"{manifests.cluster['metadata']['name']}-{end}" for end in ("app", "ca")}
    for resource in manifests.all("Secret"):
        yield f"Secret {resource['metadata']['name']}: no secret belongs into a manifest"
    for volume in manifests.pod.get("volumes", []):
        source = volume.get("secret")
        if source and source["secretName"] not in made:
            yield f"Deployment: nobody makes the secret {source['secretName']}"
        if source and not source.get("items"):
            yield f"Deployment: all of the secret {source['secretName']} is mounted, and not what is needed"
    for container in manifests.containers:
        for entry in container["env"]:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["name"] not in made and not reference.get("optional"):
                yield f"{container['name']}: nobody makes the secret {reference['name']}"


def environment(container, pod, gateway):
    name = container["name"]
    entries = container["env"]
    if len({entry["name"] for entry in entries}) < len(entries):
        yield f"{name}: a variable is there twice"
    before, of_secrets = set(), set()
    for entry in entries:
        variable, used = entry["name"], set(re.findall(r"\$\((\w+)\)", entry.get("value", "")))
        if not used <= before:
            yield f"{name}: {variable} is made of variables that do not come before it"
        if "secretKeyRef" in entry.get("valueFrom", {}) or used & of_secrets:
            of_secrets.add(variable)
        elif variable in gateway.secret:
            yield f"{name}: {variable} is a secret, and stands in the manifest"
        later = any(f"$({variable})" in other.get("value", "") for other in entries)
        if variable not in gateway.variables and not later:
            yield f"{name}: the gateway has no setting {variable}"
        before.add(variable)
    if container.get("args", [""])[0] not in gateway.commands:
        yield f"{name}: the gateway has no command {container.get('args')}"
    url = next((entry.get("value", "") for entry in entries if entry["name"] == "DATABASE_URL"), "")
    if "sslmode=require" not in url:
        yield f"{name}: DATABASE_URL does not demand TLS"
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    files = set()
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"{name}: there is no volume {mount['name']}"
            continue
        items = volumes[mount["name"]].get("secret", {}).get("items", [])
        files |= {f"{mount['mountPath']}/{item['path']}" for item in items}
    authority = next((entry.get("value") for entry in entries if entry["name"] == "SENTIMENT_DATABASE_CA"), None)
    if authority not in files:
        yield f"{name}: no volume holds the file {authority}"


def same_settings(manifests):
    """What both migrate and serve are told, they are told alike."""
    values = {}
    for container in manifests.containers:
        for entry in container["env"]:
            if values.setdefault(entry["name"], entry) != entry:
                yield f"{container['name']}: {entry['name']} differs from that of another container"
    if [container.get("args") for container in manifests.containers] != [["migrate"], ["serve"]]:
        yield "Deployment: it does not migrate and then serve"


def confinement(manifests):
    context = manifests.pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "Deployment: it may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "Deployment: system calls are not filtered"
    if manifests.pod.get("automountServiceAccountToken") is not False:
        yield "Deployment: it is given a token of Kubernetes' API, which it has no use for"
    yield from (f"Deployment: it has {way}" for way in HOST if manifests.pod.get(way))
    for container in manifests.containers:
        if container.get("securityContext") != CONFINED:
            yield f"{container['name']}: it is not confined"
        resources = container.get("resources", {})
        for bound in ("requests", "limits"):
            if not {"cpu", "memory"} <= resources.get(bound, {}).keys():
                yield f"{container['name']}: it has no {bound} of processor and memory"


def times(manifests):
    """The pod is killed only when the gateway had the time to end in order."""
    pause = manifests.server.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    entry = next((entry for entry in manifests.server["env"] if entry["name"] == "SENTIMENT_SHUTDOWN_TIMEOUT"), {})
    ending = re.fullmatch(r"(\d+)s", entry.get("value", ""))
    if not pause:
        yield "Deployment: it ends before all nodes know that it does"
    # Five seconds is what it takes to close its connections to the database, at most.
    if not ending or manifests.pod.get("terminationGracePeriodSeconds", 30) < pause + int(ending[1]) + 5:
        yield "Deployment: it is killed before SENTIMENT_SHUTDOWN_TIMEOUT is over"


def database(manifests, gateway):
    cluster, spec = manifests.cluster["spec"], manifests.database["spec"]
    made = cluster["bootstrap"]["initdb"]
    if spec["cluster"]["name"] != manifests.cluster["metadata"]["name"]:
        yield "Database: there is no such Cluster"
    if (spec["name"], spec["owner"]) != (made["database"], made["owner"]):
        yield "Database: it is not the one of which the Cluster's secret speaks"
    if spec["owner"] in SCHEMAS:
        yield f"Database: its owner is called as the schema {spec['owner']}, into which all that it creates would go"
    if "pg_sentiment" not in {extension["name"] for extension in cluster["postgresql"]["extensions"]}:
        yield "Cluster: pg_sentiment is not mounted"
    if any(extension["name"] == "pg_sentiment" for extension in spec.get("extensions", [])):
        yield "Database: the operator would own pg_sentiment, and the gateway could not train"
    default = gateway.variables["SENTIMENT_DATABASE_CONNECTIONS"]
    entry = next((entry for entry in manifests.server["env"] if entry["name"] == "SENTIMENT_DATABASE_CONNECTIONS"), {})
    # One more listens, and one more is that of a migration.
    each = int(entry.get("value", default)) + 2
    pods = manifests.only("HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    pods += manifests.deployment["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", pods)
    allowed = int(cluster["postgresql"].get("parameters", {}).get("max_connections", 100))
    if pods * each + RESERVE > allowed:
        yield f"Cluster: max_connections is {allowed}, and {pods} gateways may need {pods * each}, all others {RESERVE}"
