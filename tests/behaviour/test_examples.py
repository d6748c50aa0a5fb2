"""examples/: what they name is there. Dashboard and alerts ask for metrics that /metrics has, policies are taken."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from .harness import run
from .harness.h2 import INTERNAL_ERROR, h2_origin
from .harness.origin import answer
from .test_10_tls import make_ca

TOP = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "examples"
PROMETHEUS = EXAMPLES / "prometheus"
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$agent": ".*"}
LABELS_OF_PROMETHEUS = {"instance", "job"}


def yaml():
    return pytest.importorskip("yaml", reason="PyYAML is not installed (Debian: python3-yaml); ./quickstart check brings it")


def promtool(*args, folder=PROMETHEUS):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian: prometheus); ./quickstart check brings it")
    done = subprocess.run(["promtool", *args], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queries_of_dashboard():
    """{where: PromQL}, with Grafana's variables filled in."""
    dashboard = json.loads((EXAMPLES / "grafana/carpool.json").read_text())
    found = {f"{panel['title']} {target['refId']}": target["expr"] for panel in dashboard["panels"]
             for target in panel["targets"]}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            found[f"variable {variable['name']}"] = f"count by ({label}) ({selector})"
    for name, value in VARIABLES.items():
        found = {where: query.replace(name, value) for where, query in found.items()}
    assert not [query for query in found.values() if "$" in query]
    return found


def queries_of_alerts():
    rules = yaml().safe_load((PROMETHEUS / "carpool.rules.yml").read_text())
    return {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


class Exposition:
    """/metrics, read strictly enough to look things up in."""

    def __init__(self, text):
        self.families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        self.series = [(name, dict(re.findall(r'(\w+)="([^"]*)"', labels or "")))
                       for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.M)]

    def has_name(self, name):
        return name in self.families or \
            self.families.get(re.sub(r"_(bucket|sum|count)$", "", name)) == "histogram"

    def labels(self, name):
        return set().union(*[labels for found, labels in self.series if found == name])

    def matches(self, name, label, operator, value):
        pattern = re.compile(value if "~" in operator else re.escape(value))
        return any(found == name and pattern.fullmatch(labels.get(label, "")) for found, labels in self.series)


def end_badly(stream):
    """Over HTTP/2: a stream that is reset, and a connection that is given up."""
    stream.rst(INTERNAL_ERROR)
    stream.peer.goaway(stream.number)


@pytest.fixture
def exposition(stage):
    """Of a daemon to which happened what the queries ask for: answers, a refusal by a limit, a failed connect, a close, HTTP/2
    that goes wrong."""
    origin = stage.origin(lambda request: answer(fields=[("Connection", "close")] if request.target == "/close" else []))
    held = stage.origin(manual=True)
    modern = h2_origin(stage, end_badly, tls=False)
    cert, key = make_ca(stage, "pool.test")
    carpool = stage.carpool({"defaults": {"maxSockets": 1, "maxPendingRequests": 0}, "callers": "user", "connectTls": {"cert": cert, "key": key},
                             "upstreams": {"modern": {"match": modern.authority, "h2Options": {"useH2c": True}}}})
    for path in ("/", "/", "/close"):
        assert carpool.get(origin.url(path)).status == 200
    client = carpool.ask(held.url("/"))
    asked = held.take()
    assert carpool.get(held.url("/")).status == 503
    asked.connection.reply()
    assert client.response().status == 200
    assert carpool.get(f"http://127.0.0.1:{stage.ports.take()}/").status == 502
    carpool.wait_retired(origin, "connection-close")
    assert carpool.get(modern.url("/"), method="POST", body=b"x").status == 502
    carpool.wait_retired(modern.key, "goaway", agent="modern")
    return Exposition(carpool.admin("/metrics").body.decode())


def faults_of(query, exposition):
    """What of a query /metrics could never answer."""
    faults = []
    for name, matchers in re.findall(r"\b((?:carpool|process)_\w+)(?:\{([^}]*)\})?", query):
        if not exposition.has_name(name):
            faults.append(f"there is no {name}")
        for label, operator, value in re.findall(r'(\w+)(=~|=|!=|!~)"([^"]*)"', matchers):
            if label in LABELS_OF_PROMETHEUS or not exposition.labels(name):
                continue
            if label not in exposition.labels(name):
                faults.append(f"{name} has no label {label}")
            if operator[0] == "=" and not exposition.matches(name, label, operator, value):
                faults.append(f"{name} has nothing where {label}{operator}{value!r}")
    names = re.findall(r"\b(?:carpool|process)_\w+", query)
    known = LABELS_OF_PROMETHEUS.union(*[exposition.labels(name) for name in names])
    unknown = [label for labels in re.findall(r"\bby \(([^)]*)\)", query) for label in re.split(r",\s*", labels)
               if label not in known]
    return faults + [f"no metric of it has the label {label}" for label in unknown
                     if all(exposition.labels(name) for name in names)]


def test_what_dashboard_and_alerts_ask_for_is_there(exposition):
    faults = {where: faults for where, query in {**queries_of_dashboard(), **queries_of_alerts()}.items()
              if (faults := faults_of(query, exposition))}
    assert not faults


def test_a_query_for_what_is_not_there_is_found(exposition):
    """the test above can fail"""
    assert faults_of("rate(carpool_nonsense_total[5m])", exposition)
    assert faults_of('carpool_agent_sockets{agnt="default"}', exposition)
    assert faults_of('carpool_agent_errors_total{error="nonsense"}', exposition)
    assert faults_of("sum by (agnt) (carpool_agent_sockets)", exposition)


def test_queries_are_promql(tmp_path):
    rules = [{"record": "query:number", "expr": query} for query in queries_of_dashboard().values()]
    for number, rule in enumerate(rules):
        rule["record"] += str(number)
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "rules.yml", folder=tmp_path)


def test_alerts_fire_when_they_should():
    promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "carpool.rules.test.yml")


def test_every_alert_is_tested():
    text = (PROMETHEUS / "carpool.rules.test.yml").read_text()
    assert not [name for name in queries_of_alerts() if not re.search(rf"ALERTS\{{.*{name}", text)]


def taken(path, text):
    path.write_text(text)
    done = run("-t", "-c", str(path), cwd=str(path.parent))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted((TOP / "conf/examples").glob("*.yaml")), ids=lambda path: path.name)
def test_policies_are_taken(path, tmp_path):
    taken(tmp_path / "carpool.yaml", path.read_text().replace("/run/carpool", str(tmp_path)).replace("/var/log/carpool", str(tmp_path)))


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("name", ["sidecar.yaml", "daemonset.yaml"])
def test_kubernetes(name, tmp_path):
    """the policy of its ConfigMap is taken, and names of volumes, ports and folders fit each other"""
    config, workload = yaml().safe_load_all((EXAMPLES / "kubernetes" / name).read_text())
    taken(tmp_path / "carpool.yaml", config["data"]["carpool.yaml"].replace("/run/carpool", str(tmp_path)))
    template = workload["spec"]["template"]
    assert workload["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert [volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume] == [config["metadata"]["name"]]
    for container in containers(template["spec"]):
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
    (carpool,) = [container for container in containers(template["spec"]) if container["name"] == "carpool"]
    assert {mount["mountPath"] for mount in carpool["volumeMounts"]} == {"/etc/carpool", "/run/carpool"}
    assert carpool["livenessProbe"]["exec"]["command"] == ["carpoolctl", "status"]
    assert carpool["securityContext"]["readOnlyRootFilesystem"] and carpool["securityContext"]["runAsNonRoot"]


def test_compose():
    services = yaml().safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
    build = services["carpool"]["build"]
    assert (EXAMPLES / build["context"] / build["dockerfile"]).samefile(TOP / "Containerfile")
    assert services["app"]["environment"]["http_proxy"] == "http://carpool:3128"
