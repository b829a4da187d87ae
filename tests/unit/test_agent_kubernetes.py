import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rejeu.observe.agent import kubernetes as facet
from rejeu.observe.agent.tools import NotInstalled, Row, Unreadable

KEY = b"0123456789abcdef"
REQUEST = {"key": KEY.hex()}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def version(group_version: str) -> dict[str, str]:
    return {"groupVersion": group_version, "version": group_version.rpartition("/")[2]}


def group(*versions: str) -> dict[str, Any]:
    return {
        "name": versions[0].split("/")[0],
        "versions": [version(one) for one in versions],
        "preferredVersion": version(versions[0]),
    }


def resources(*names: str, verbs: list[str] = VERBS) -> dict[str, Any]:
    return {"kind": "APIResourceList", "resources": [{"name": name, "verbs": verbs} for name in names]}


def thing(name: str, *, uid: str | None = "u-1", namespace: str | None = "shop", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "812", **rest.pop("metadata", {})}
    return {"metadata": {key: value for key, value in metadata.items() if value is not None}, **rest}


def api_of(**lists: list[dict[str, Any]]) -> dict[str, Any]:
    """An API that knows a few kinds of the core, and deployments."""
    core = ("configmaps", "secrets", "pods", "pods/status", "nodes", "nodes/status", "events", "endpoints")
    paths = {
        "/api/v1": {
            "resources": [*resources(*core)["resources"], *resources("bindings", verbs=["create"])["resources"]]
        },
        "/apis": {"groups": [group("apps/v1")]},
        "/apis/apps/v1": resources("deployments", "deployments/status", "deployments/scale"),
    }
    for kind, items in lists.items():
        paths[f"/apis/apps/v1/{kind}" if kind == "deployments" else f"/api/v1/{kind}"] = {"items": items}
    return paths


Serve = Callable[[dict[str, Any]], str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serve]:
    """Answers with what it is given by path, 404 for the others, and a number as that status. A kubeconfig names it."""
    servers = []

    def start(paths: dict[str, Any]) -> str:
        server = listen(paths)
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}"
        configure(monkeypatch, tmp_path, f"    server: {address}\n")
        return address

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def listen(paths: dict[str, Any], context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer

        def do_GET(self) -> None:
            found = paths.get(self.path, 404)
            if callable(found):
                found = found()
            body = b"" if isinstance(found, int) else json.dumps(found).encode()
            self.send_response(found if isinstance(found, int) else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Not to the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def configure(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "k3s.yaml").write_text(text)
    monkeypatch.setattr(facet, "CONFIGURATIONS", (str(folder / "absent.yaml"), str(folder / "k3s.yaml")))


def read(key: bytes = KEY) -> dict[str, Row]:
    return {row[0]: row for row in facet.kubernetes({"key": key.hex()})}


def test_objects_are_named_as_kubectl_does(serve: Serve) -> None:
    address = serve(
        api_of(
            nodes=[thing("node", namespace=None)],
            deployments=[thing("web", uid="u-7", spec={"replicas": 1}, metadata={"generation": 3})],
        )
    )
    found = read()
    assert list(found) == [f"api {address}", "nodes node", "deployments.apps shop/web"]
    assert found[f"api {address}"][1] == {"state": "up"}
    _, values, identity = found["deployments.apps shop/web"]
    assert values.keys() == {"metadata", "spec", "generation"}
    assert values["generation"] == "3"
    assert identity == "u-7"


DEPLOYMENT = thing("web", spec={"replicas": 1}, metadata={"generation": 3, "labels": {"app": "web"}})


def changed(**metadata: Any) -> dict[str, Any]:
    return {**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], **metadata}}


@pytest.mark.parametrize(
    ("after", "differs"),
    [
        pytest.param(DEPLOYMENT, set(), id="nothing"),
        pytest.param({**DEPLOYMENT, "status": {"readyReplicas": 0}}, set(), id="status"),
        pytest.param(changed(resourceVersion="813", managedFields=[{"manager": "x"}]), set(), id="bookkeeping"),
        pytest.param(changed(annotations={"deployment.kubernetes.io/revision": "2"}), set(), id="revision"),
        pytest.param(
            changed(annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"}), set(), id="applied"
        ),
        pytest.param({**DEPLOYMENT, "spec": {"replicas": 2}}, {"spec"}, id="spec"),
        pytest.param(changed(generation=5), {"generation"}, id="there and back"),
        pytest.param(changed(labels={"app": "shop"}), {"metadata"}, id="label"),
        pytest.param(changed(annotations={"kubectl.kubernetes.io/restartedAt": "now"}), {"metadata"}, id="restart"),
        pytest.param(changed(deletionTimestamp="2026-01-01T00:00:00Z"), {"deleted"}, id="deleted"),
    ],
)
def test_what_somebody_changed_counts(serve: Serve, after: dict[str, Any], differs: set[str]) -> None:
    serve(api_of(deployments=[DEPLOYMENT]))
    old = read()["deployments.apps shop/web"][1]
    serve(api_of(deployments=[after]))
    new = read()["deployments.apps shop/web"][1]
    assert {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)} == differs


def test_data_are_shown_under_the_run_s_key_alone(serve: Serve) -> None:
    serve(api_of(secrets=[thing("db", type="Opaque", data={"password": "aHVudGVyMg=="})]))
    row = read()["secrets shop/db"]
    assert "aHVudGVyMg" not in json.dumps(row)
    assert row[1]["spec"] != read(b"another key")["secrets shop/db"][1]["spec"]
    serve(api_of(secrets=[thing("db", type="Opaque", data={"password": "aHVudGVyMw=="})]))
    assert row[1]["spec"] != read()["secrets shop/db"][1]["spec"]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("events", thing("web.17")),
        ("endpoints", thing("web")),
        pytest.param("bindings", thing("web"), id="what cannot be listed"),
        pytest.param("pods", thing("usage", uid=None), id="computed"),
        pytest.param(
            "pods",
            thing("dump-1", metadata={"ownerReferences": [{"kind": "Job", "name": "dump", "controller": True}]}),
            id="of a job",
        ),
    ],
)
def test_what_a_cluster_does_by_itself_is_left_out(serve: Serve, kind: str, found: dict[str, Any]) -> None:
    address = serve(api_of(**{kind: [found]}))
    assert list(read()) == [f"api {address}"]


def test_what_k3s_notes_of_its_manifests_is_left_out(serve: Serve) -> None:
    paths = api_of()
    paths["/apis"]["groups"] += [group("k3s.cattle.io/v1"), group("shop.example/v1")]
    for name in ("k3s.cattle.io", "shop.example"):
        paths[f"/apis/{name}/v1"] = resources("addons")
        paths[f"/apis/{name}/v1/addons"] = {"items": [thing("argocd", spec={"checksum": "0123"})]}
    serve(paths)
    assert list(read())[1:] == ["addons.shop.example shop/argocd"]


def test_a_generation_that_a_status_moves_does_not_count(serve: Serve) -> None:
    paths = api_of()
    paths["/apis"]["groups"].append(group("argoproj.io/v1alpha1"))
    paths["/apis/argoproj.io/v1alpha1"] = resources("applications")
    paths["/apis/argoproj.io/v1alpha1/applications"] = {"items": [thing("root", metadata={"generation": 99})]}
    serve(paths)
    assert "generation" not in read()["applications.argoproj.io shop/root"][1]


def test_a_kind_is_read_once_in_the_preferred_version(serve: Serve) -> None:
    paths = api_of()
    paths["/apis"]["groups"] = [group("gateway.io/v1", "gateway.io/v1alpha2")]
    paths["/apis"]["groups"][0]["versions"].reverse()
    paths["/apis/gateway.io/v1"] = resources("routes")
    paths["/apis/gateway.io/v1alpha2"] = resources("routes", "tunnels")
    paths["/apis/gateway.io/v1/routes"] = {"items": [thing("new")]}
    paths["/apis/gateway.io/v1alpha2/routes"] = {"items": [thing("old")]}
    paths["/apis/gateway.io/v1alpha2/tunnels"] = {"items": [thing("deep")]}
    serve(paths)
    assert list(read())[1:] == ["routes.gateway.io shop/new", "tunnels.gateway.io shop/deep"]


def test_a_group_whose_server_is_down_is_not_there(serve: Serve) -> None:
    paths = api_of(configmaps=[thing("settings")])
    paths["/apis"]["groups"].append(group("metrics.k8s.io/v1beta1"))
    paths["/apis/metrics.k8s.io/v1beta1"] = 503
    serve(paths)
    assert list(read())[1:] == ["configmaps shop/settings"]


def test_an_api_that_says_when_to_ask_again_is_asked_again(serve: Serve) -> None:
    paths = api_of(configmaps=[thing("settings")])
    answers = iter([429, 429, paths["/api/v1/configmaps"]])
    serve(paths | {"/api/v1/configmaps": lambda: next(answers)})
    assert list(read())[1:] == ["configmaps shop/settings"]


def test_an_api_that_is_never_ready_is_unreadable(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facet, "TIMEOUT_S", 1)
    monkeypatch.setattr(facet, "run", lambda *_: "active\n\ninactive\n\ninactive\n")
    serve(api_of() | {"/api/v1": 429})
    with pytest.raises(Unreadable, match="/api/v1: 429"):
        read()


@pytest.mark.parametrize(("broken", "status"), [("/api/v1", 503), ("/apis", 503), ("/api/v1/configmaps", 500)])
def test_an_api_that_should_answer_and_does_not_is_unreadable(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, broken: str, status: int
) -> None:
    monkeypatch.setattr(facet, "run", lambda *_: "active\n\ninactive\n\ninactive\n")
    address = serve(api_of() | {broken: status})
    with pytest.raises(Unreadable, match=f"{address} does not answer: {broken}: {status}"):
        read()


def test_an_api_that_nothing_runs_is_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(facet, "run", lambda *_: "inactive\n\ninactive\n\ninactive\n")
    configure(monkeypatch, tmp_path, "server: http://127.0.0.1:1\n")
    assert facet.kubernetes(REQUEST) == [["api http://127.0.0.1:1", {"state": "down"}, ""]]


def test_without_a_kubeconfig_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(facet, "CONFIGURATIONS", (str(tmp_path / "absent"),))
    with pytest.raises(NotInstalled, match="no kubeconfig"):
        facet.kubernetes(REQUEST)


@pytest.mark.parametrize("text", ["server: http://a\nserver: http://b\n", "apiVersion: v1\nclusters: []\n"])
def test_a_kubeconfig_must_name_one_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    configure(monkeypatch, tmp_path, text)
    with pytest.raises(NotInstalled, match=r"k3s\.yaml does not name just one cluster"):
        facet.kubernetes(REQUEST)


KUBECONFIG = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {certificate}
    server: https://127.0.0.1:{port}
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
users:
- name: default
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""


def test_the_kubeconfig_s_certificates_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=k3s", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    # The server takes no client without a certificate.
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    server = listen(api_of(configmaps=[thing("settings")]), context)
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in (certificate, key)]
    text = KUBECONFIG.format(port=server.server_port, certificate=encoded[0], key=encoded[1])
    configure(monkeypatch, tmp_path, text)
    assert list(read())[1:] == ["configmaps shop/settings"]
    server.shutdown()
    server.server_close()
