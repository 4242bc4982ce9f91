"""Compose file, Kubernetes manifests, alerts and dashboard hold against their schemas and what is served."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.settings import PREFIX, Settings
from tests.process import ROOT, Server

DOCKER = ROOT / "docker"
K8S = sorted((DOCKER / "k8s").rglob("*.yaml"))
SCHEMAS = ROOT.parent / "shared/schemas"
CUSTOM = {"ScaledObject", "InferenceService", "ServiceMonitor", "PrometheusRule", "Kustomization"}
ON_TOP = {"deployment.yaml"}  # a patch in overlays/gpu


def named(file: Path) -> str:
    return str(file.relative_to(DOCKER))


def check(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def documents(kinds: set[str] | None = None) -> list[Path]:
    return [file for file in K8S if (yaml.safe_load(file.read_text())["kind"] in CUSTOM) == (kinds is not None)]


def test_compose() -> None:
    check(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")


@pytest.mark.parametrize("file", documents(), ids=named)
def test_core_kinds(file: Path, tmp_path: Path) -> None:
    made = tmp_path / file.name
    made.write_text(yaml.safe_dump(patched(file)))
    check(tool("kubernetes-validate"), "--strict", made)


def patched(file: Path) -> Any:
    """A patch on the base that it is for."""
    document = yaml.safe_load(file.read_text())
    if "overlays" not in file.parts:
        return document
    base = yaml.safe_load((DOCKER / "k8s/base" / file.name).read_text())
    pod, change = base["spec"]["template"]["spec"], document["spec"]["template"]["spec"]
    pod["tolerations"] = change["tolerations"]
    (container,), (changes,) = pod["containers"], change["containers"]
    container["resources"] = changes["resources"]
    container["env"] = list({one["name"]: one for one in [*container["env"], *changes["env"]]}.values())
    return base


@pytest.mark.parametrize("file", documents(CUSTOM), ids=named)
def test_custom_resources(file: Path, tmp_path: Path) -> None:
    kind, version = (yaml.safe_load(file.read_text())[key] for key in ("kind", "apiVersion"))
    if kind == "Kustomization":
        check(tool("check-jsonschema"), "--schemafile", Path(__file__).parent / "kustomization.json", file)
        return
    schema = SCHEMAS / f"{kind.lower()}_{version.split('/')[1]}.json"
    if not schema.exists():
        pytest.skip("no schemas of custom resources here")
    plain = tmp_path / schema.name
    plain.write_text(schema.read_text().replace("(?i)", ""))  # Go's way to ignore case, which is no JSON Schema
    check(tool("check-jsonschema"), "--schemafile", plain, file)


@pytest.mark.parametrize("file", [file for file in K8S if file.name == "kustomization.yaml"], ids=named)
def test_all_that_a_kustomization_names_is_there(file: Path) -> None:
    document = yaml.safe_load(file.read_text())
    paths = [*document.get("resources", []), *(one["path"] for one in document.get("patches", []) if "path" in one)]
    assert all((file.parent / path).exists() for path in paths)


def test_the_operators_rules_are_those_of_prometheus() -> None:
    plain = yaml.safe_load((DOCKER / "prometheus/alerts.yaml").read_text())
    operator = yaml.safe_load((DOCKER / "k8s/overlays/monitoring/prometheusrule.yaml").read_text())
    assert operator["spec"] == plain


def environments(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "env":
                yield from (one["name"] for one in value)
            elif key == "environment":
                yield from value
            else:
                yield from environments(value)
    elif isinstance(document, list):
        for one in document:
            yield from environments(one)


@pytest.mark.parametrize("file", [*K8S, DOCKER / "compose.yaml"], ids=named)
def test_settings_exist(file: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {name for name in environments(yaml.safe_load(file.read_text())) if name.startswith(PREFIX)}
    assert given <= known


def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: apt-get install prometheus")
    check(promtool, "check", "rules", DOCKER / "prometheus/alerts.yaml")
    check(promtool, "check", "config", DOCKER / "prometheus/prometheus.yaml")


def queries() -> Iterator[str]:
    dashboard = json.loads((DOCKER / "grafana/dashboards/braid.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (variable["query"] for variable in dashboard["templating"]["list"])
    for group in yaml.safe_load((DOCKER / "prometheus/alerts.yaml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for trigger in yaml.safe_load((DOCKER / "k8s/overlays/keda/scaledobject.yaml").read_text())["spec"]["triggers"]:
        yield trigger["metadata"]["query"]


def test_queries_ask_for_what_there_is(server: Server) -> None:
    server.predict(text=b"a")
    exported = {family.name for family in text_string_to_metric_families(server.client.get("/metrics").text)}
    for query in queries():
        for name in re.findall(r"\b(?:braid|process)_\w+", query):
            assert re.sub(r"_(total|bucket|sum|count)$", "", name) in exported, query
