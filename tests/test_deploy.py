"""What deploy/ says fits the service and itself: ports, probes, options, selectors, and every metric that is named.

No cluster, no Docker and no network: `promtool` is asked where it is installed.
"""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.main import get_command

from peftrec.cli.verbs import app
from peftrec.model.backbone.frozen import Used
from peftrec.serving.service.app import make_app
from peftrec.serving.service.metrics import Metrics

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
YAML = [path for path in sorted(DEPLOY.rglob("*")) if path.suffix in (".yaml", ".yml")]
KUBERNETES = [
    document
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] != "Kustomization"
]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/peftrec.json").read_text())
OPTIONS = {name: of for of in get_command(app).commands["serve"].params for name in of.opts}
PORT = OPTIONS["--port"].default
SCRAPED = {"job", "instance"}  # labels that Prometheus adds


def of_kind(kind):
    """The one manifest of a kind."""
    (found,) = [document for document in KUBERNETES if document["kind"] == kind]
    return found


DEPLOYMENT = of_kind("Deployment")
POD = DEPLOYMENT["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]


@pytest.fixture(scope="module")
def paths():
    return set(make_app(SimpleNamespace()).openapi()["paths"])


@pytest.fixture(scope="module")
def exported():
    """The names of all samples that the service exports -> their labels."""
    metrics = Metrics(1)
    encoder = SimpleNamespace(backbone=SimpleNamespace(used=Used()))
    of = SimpleNamespace(tasks=[], model=SimpleNamespace(encoder=encoder))
    metrics.swapped("r", "d", Path(), of, loaded=True)
    metrics.rejected("queue_full")
    metrics.answered("/", "t", 200, {"whole": 1.0})
    names = {"up": set(SCRAPED)}
    for family in text_string_to_metric_families(metrics.text()):
        for sample in family.samples:
            names[sample.name] = {*sample.labels} | SCRAPED
    tasks = {
        "info": {"run", "task", "kind", "digest"},
        "labels_total": {"run", "task", "label"},
        "score_psi": {"run", "task"},
    }
    tasks |= {"score_bucket": {"run", "task", "le"}}
    helped = re.findall(r"^# HELP (peftrec_\w+)", metrics.text(), re.MULTILINE)
    assert {"peftrec_task_info", "peftrec_labels_total", "peftrec_score", "peftrec_score_psi"} <= set(helped)
    return names | {f"peftrec_{name.replace('info', 'task_info')}": labels | SCRAPED for name, labels in tasks.items()}


def parsed(arguments):
    """Arguments of `peftrec serve` as the command reads them."""
    return get_command(app).commands["serve"].make_context("serve", list(arguments)).params


def test_every_file_is_found_and_read():
    assert len(YAML) >= 13 and len(KUBERNETES) == 7
    for path in YAML:
        assert list(yaml.safe_load_all(path.read_text())), path
    for document in KUBERNETES:
        assert {"apiVersion", "kind", "metadata", "spec"} == set(document) and document["metadata"]["name"]
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(
        path.name for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.stem != "kustomization"
    )


def test_whatever_selects_pods_selects_these():
    labels = POD["metadata"]["labels"].items()
    spread = POD["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    disruption = of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    for selector in (
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        of_kind("Service")["spec"]["selector"],
        spread,
        disruption,
    ):
        assert selector and selector.items() <= labels
    for scaler in ("HorizontalPodAutoscaler", "ScaledObject"):
        target = of_kind(scaler)["spec"]["scaleTargetRef"]
        assert target == {name: DEPLOYMENT[name] for name in ("apiVersion", "kind")} | {
            "name": DEPLOYMENT["metadata"]["name"]
        }


def test_ports_and_probes_are_those_of_the_service(paths):
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == PORT
    (exposed,) = of_kind("Service")["spec"]["ports"]
    assert exposed["targetPort"] == port["name"]
    probes = [CONTAINER[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert {probe["port"] for probe in probes} == {port["name"]}
    assert [probe["path"] for probe in probes] == ["/health/live", "/health/ready", "/health/live"]
    scraped = POD["metadata"]["annotations"]
    assert scraped["prometheus.io/port"] == str(PORT)
    assert {scraped["prometheus.io/path"], *(probe["path"] for probe in probes)} <= paths


def test_a_pod_drains_before_it_is_killed():
    (pause,) = [int(of) for of in CONTAINER["lifecycle"]["preStop"]["exec"]["command"] if of.isdigit()]
    grace = parsed(CONTAINER["args"])["grace"]
    probe = CONTAINER["readinessProbe"]
    assert (
        grace > probe["periodSeconds"] * probe["failureThreshold"]
    )  # it is seen to be no longer ready while it answers
    assert POD["spec"]["terminationGracePeriodSeconds"] >= pause + grace + 20
    assert int(COMPOSE["services"]["peftrec"]["stop_grace_period"].rstrip("s")) >= grace + 20


def test_containers_may_do_nothing_that_they_need_not():
    whole, own = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert whole["runAsNonRoot"] and whole["runAsUser"] > 0 and whole["seccompProfile"]["type"] == "RuntimeDefault"
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert POD["spec"]["automountServiceAccountToken"] is False
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in POD["spec"]["volumes"]}
    assert {name for name, mount in mounts.items() if mount.get("readOnly")} == {"runs", "weights", "keys"}
    claims = {v["persistentVolumeClaim"]["claimName"] for v in POD["spec"]["volumes"] if "persistentVolumeClaim" in v}
    assert claims == {d["metadata"]["name"] for d in KUBERNETES if d["kind"] == "PersistentVolumeClaim"}
    composed = COMPOSE["services"]["peftrec"]
    assert composed["read_only"] is True and composed["cap_drop"] == ["ALL"]
    assert composed["security_opt"] == ["no-new-privileges:true"]
    assert all(
        ":" in port and port.startswith("127.0.0.1:") for of in COMPOSE["services"].values() for port in of["ports"]
    )


def instructions():
    """Instruction -> what is said under it, in order."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found.setdefault(line.split()[0], []).append(line.partition(" ")[2].strip())
    return found


def test_the_image_runs_the_service_as_nobody_else(paths):
    said = instructions()
    owner = [str(POD["spec"]["securityContext"][name]) for name in ("runAsUser", "runAsGroup")]
    assert said["USER"] == [":".join(owner)]
    assert said["EXPOSE"] == [str(PORT)]
    assert json.loads(said["ENTRYPOINT"][0]) == ["peftrec", "serve"]
    for given in (json.loads(said["CMD"][0]), CONTAINER["args"]):
        options = parsed(given)
        assert (options["folder"], options["feedback"]) == (Path("/runs"), Path("/data/feedback.jsonl"))
    (checked,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/[\w/]+)", said["HEALTHCHECK"][0])
    assert checked[0] == str(PORT) and checked[1] in paths
    written = [mount["mountPath"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")]
    assert written == ["/cache", "/data", "/tmp"]
    assert "PEFTREC_CACHE=/cache" in said["ENV"][-1] and "HF_HOME=/weights" in said["ENV"][-1]


def test_what_the_image_copies_is_there_and_not_ignored():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"'\.\[(.*)\]'", " ".join(instructions()["RUN"]))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [shlex.split(line)[:-1] for line in instructions()["COPY"] if not line.startswith("--from")]
    names = [name for line in copied for name in line]
    assert len(names) >= 6 and project["readme"] in names and project["license-files"][0] in names
    for name in names:
        assert (ROOT / name).exists() and f"!{name}" in kept


def test_the_composed_services_find_each_other_and_their_files(paths):
    services = COMPOSE["services"]
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    assert job["job_name"] == "peftrec" and job["metrics_path"] in paths
    assert job["static_configs"] == [{"targets": [f"peftrec:{PORT}"]}] and "peftrec" in services
    mounts = {of["source"]: of["target"] for s in services.values() for of in s["volumes"] if of["type"] == "bind"}
    for source, target in mounts.items():
        assert source.startswith("${") or (DEPLOY / source).is_dir(), (source, target)
    assert scraped["rule_files"] == [f"{mounts['./prometheus']}/alerts.yml"]
    for kind in ("datasources", "dashboards"):
        assert len(list((DEPLOY / "grafana/provisioning" / kind).glob("*.yaml"))) == 1
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    given = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/peftrec.yaml").read_text())["providers"]
    assert given[0]["options"]["path"] == mounts["./grafana/dashboards"]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090" and "127.0.0.1:9090:9090" in services["prometheus"]["ports"]
    named = {volume["source"] for s in services.values() for volume in s["volumes"] if volume["type"] == "volume"}
    assert named == set(COMPOSE["volumes"])


def expressions():
    """Where -> every expression of rules, dashboard and autoscalers."""
    found = {rule["alert"]: rule["expr"] for rule in RULES}
    for panel in DASHBOARD["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    found |= {of["name"]: of["expr"] for of in DASHBOARD["annotations"]["list"]}
    found["variable"] = DASHBOARD["templating"]["list"][1]["query"]["query"]
    found["KEDA"] = of_kind("ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    found["HPA"] = of_kind("HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    return found


@pytest.mark.parametrize("where", expressions())
def test_every_metric_that_is_named_is_exported_with_these_labels(where, exported):
    expression = expressions()[where]
    named = re.findall(r"\b(peftrec_\w+|process_\w+|up)\b(?:\{([^}]*)\})?", expression)
    assert named
    for name, selected in named:
        assert name in exported, name
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected)) <= exported[name], (name, selected)
    grouped = {label.strip() for of in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in of.split(",")}
    assert grouped <= set.union(*(exported[name] for name, _ in named))
    for one, other in ("()", "{}", "[]"):
        assert expression.count(one) == expression.count(other)


def test_the_guide_names_every_metric_and_no_other(exported):
    guide = set(re.findall(r"peftrec_[a-z_]+", (ROOT / "docs/guide/serving.md").read_text(encoding="utf-8")))
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exported if name.startswith("peftrec_")}
    assert guide == {name for name in families if f"{name}_total" not in families}


def test_alerts_say_what_and_how_bad_in_labels_that_they_have(exported):
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(RULES) >= 8
    for rule in RULES:
        assert rule["labels"]["severity"] in ("info", "warning", "critical") and rule["for"]
        assert set(rule["annotations"]) == {"summary", "description"}
        said = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        kept = {label.strip() for of in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in of.split(",")}
        assert said <= (kept or SCRAPED), rule["alert"]
    tests = yaml.safe_load((DEPLOY / "prometheus/alerts.test.yml").read_text())["tests"]
    fired = [bool(of.get("exp_alerts")) for test in tests for of in test["alert_rule_test"]]
    tried = [of["alertname"] for test in tests for of in test["alert_rule_test"]]
    for name in names:  # each is seen to fire, and not to
        assert sorted(of for of, alert in zip(fired, tried, strict=True) if alert == name) == [False, True], name


def test_promtool_finds_nothing_wrong_where_it_is_installed():
    for command in (
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ):
        if (promtool := shutil.which("promtool")) is not None:
            done = subprocess.run([promtool, *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr


def test_panels_have_a_place_and_a_source_of_their_own():
    panels, cells = DASHBOARD["panels"], set()
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels) >= 12
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, panel["title"]
        cells |= own
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        assert panel["targets"] and panel["type"] in ("timeseries", "heatmap", "table")
    assert [of["name"] for of in DASHBOARD["templating"]["list"]] == ["source", "task"]
