"""The kubernetes facet: the objects of this machine's API, without what a cluster says of its own work.

The API is asked without kubectl: k3s's own may unpack itself on the disk, and each kind would take a process.
"""

# ruff: noqa: PTH123
from __future__ import annotations

import base64
import hmac
import http.client
import json
import os
import re
import ssl
import time
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple
from urllib.parse import urlsplit

from rejeu.observe.agent.tools import NotInstalled, Request, Row, Unreadable, printable, run

# The first three are written by what installs an API.
CONFIGURATIONS = (
    "/etc/rancher/k3s/k3s.yaml",
    "/etc/rancher/rke2/rke2.yaml",
    "/etc/kubernetes/admin.conf",
    "/root/.kube/config",
)
SERVICES = ("k3s.service", "rke2-server.service", "kubelet.service")
TIMEOUT_S = 60

# A cluster writes these, and these annotations, as it works.
WORKINGS = {
    *("events", "leases", "endpoints", "endpointslices", "csistoragecapacities"),
    # k3s's note of the bytes of each manifest that it applied, some time after they changed: those are a file, and what
    # it made of them are objects.
    "addons.k3s.cattle.io",
}
BOOKKEEPING = re.compile(
    r"kubectl\.kubernetes\.io/last-applied-configuration"
    r"|control-plane\.alpha\.kubernetes\.io/leader"
    r"|(deployment|autoscaling\.alpha)\.kubernetes\.io/.+"
)

Json = Dict[str, Any]


def kubernetes(request: Request) -> List[Row]:
    api = Api(configuration())
    try:
        found = list(objects(api))
    except (OSError, http.client.HTTPException) as error:
        if "active" in run("systemctl", "show", "-p", "ActiveState", "--value", *SERVICES).split():
            raise Unreadable("the API at %s does not answer: %s" % (api.address, error)) from None
        return [["api " + api.address, {"state": "down"}, ""]]
    finally:
        api.close()
    key = bytes.fromhex(request["key"])
    return [["api " + api.address, {"state": "up"}, ""], *(row(*one, key) for one in found)]


def configuration() -> Dict[str, str]:
    """Address and credentials, as the first kubeconfig has them."""
    path = next(filter(os.path.exists, CONFIGURATIONS), None)
    if path is None:
        raise NotInstalled("no kubeconfig is here")
    with open(path, encoding="utf-8") as file:
        found = re.findall(
            r"(?m)^[ -]*(server|token|(?:certificate-authority|client-certificate|client-key)(?:-data)?): *(\S+) *$",
            file.read(),
        )
    settings = {name: value.strip("\"'") for name, value in found}
    if len(settings) < len(found) or "server" not in settings:
        raise NotInstalled("%s does not name just one cluster, so none is known to be this machine's" % path)
    return settings


class Api:
    """A connection to an API server. OSError or HTTPException where it does not answer as it should."""

    def __init__(self, settings: Dict[str, str]) -> None:
        self.address = settings["server"]
        self.headers = {"Accept": "application/json"}
        if "token" in settings:
            self.headers["Authorization"] = "Bearer " + settings["token"]
        url = urlsplit(self.address)
        self.connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT_S)
        if url.scheme == "https":
            self.connection = http.client.HTTPSConnection(url.netloc, timeout=TIMEOUT_S, context=trust(settings))

    def get(self, path: str, *, optional: bool = False) -> Json:
        """What is at ``path``: nothing where an ``optional`` part of the API is not there, or not yet."""
        deadline = time.monotonic() + TIMEOUT_S
        response, body = self._ask(path)
        # One that has just started says so, and when to ask again.
        while response.status == 429 and time.monotonic() < deadline:
            told = response.getheader("Retry-After", "1")
            time.sleep(int(told) if told.isdigit() else 1)
            response, body = self._ask(path)
        if optional and response.status in (404, 405, 503):
            return {}
        if response.status != 200:
            raise http.client.HTTPException("%s: %d %s" % (path, response.status, response.reason))
        answer: Json = json.loads(body)
        return answer

    def _ask(self, path: str) -> Tuple[http.client.HTTPResponse, bytes]:
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        return response, response.read()

    def close(self) -> None:
        self.connection.close()


def trust(settings: Dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=pem(settings, "certificate-authority"))
    # Python 3.13 asks for extensions that the certificates of older clusters lack, and Kubernetes does not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    certificate = pem(settings, "client-certificate")
    if certificate is not None:
        context.load_cert_chain(certificate, pem(settings, "client-key"))
    return context


def pem(settings: Dict[str, str], name: str) -> Optional[str]:
    """A path for what takes nothing else: a key that stands in the kubeconfig is not to be written to a disk."""
    if name + "-data" not in settings:
        return settings.get(name)
    memory = os.memfd_create(name)
    os.write(memory, base64.b64decode(settings[name + "-data"]))
    return "/proc/self/fd/%d" % memory


def objects(api: Api) -> Iterator[Tuple[str, bool, Json]]:
    """Every object with the name of its kind (``deployments.apps``), and whether its generation counts: only where
    the status is apart, or a controller's every word would move it."""
    for path, kind, counted in kinds(api):
        for found in api.get(path, optional=True).get("items", ()):
            # What has no uid is computed, such as metrics. What a Job started ends by itself.
            owners = found["metadata"].get("ownerReferences", ())
            if "uid" in found["metadata"] and not any(owner["kind"] in ("Job", "CronJob") for owner in owners):
                yield kind, counted, found


def kinds(api: Api) -> Iterator[Tuple[str, str, bool]]:
    """(path, name, counted) of all that can be listed, each in the version that its group prefers."""
    versions = ["/api/v1"]
    for group in api.get("/apis")["groups"]:
        preferred = group["preferredVersion"]["groupVersion"]
        others = [version["groupVersion"] for version in group["versions"]]
        versions += ["/apis/" + version for version in sorted(others, key=lambda version: version != preferred)]
    seen: Set[str] = set()
    for base in versions:
        # A group that another server answers for is not there while that one is down; it keeps nothing here.
        resources = api.get(base, optional=base != "/api/v1").get("resources", ())
        names = {resource["name"] for resource in resources}
        group_name = base.split("/")[2] if base.startswith("/apis/") else ""
        for resource in resources:
            name = ".".join(filter(None, (resource["name"], group_name)))
            listed = "/" not in name and "list" in resource["verbs"] and not {resource["name"], name} & WORKINGS
            if listed and name not in seen:
                seen.add(name)
                yield "%s/%s" % (base, resource["name"]), name, resource["name"] + "/status" in names


def row(kind: str, counted: bool, found: Json, key: bytes) -> Row:
    metadata = found["metadata"]
    notes = {name: note for name, note in metadata.get("annotations", {}).items() if not BOOKKEEPING.fullmatch(name)}
    described = {
        "labels": metadata.get("labels", {}),
        "annotations": notes,
        "finalizers": metadata.get("finalizers", []),
        "owners": [[owner["kind"], owner["name"]] for owner in metadata.get("ownerReferences", ())],
    }
    apart = ("apiVersion", "kind", "metadata", "status")
    values = {
        "metadata": digest(described, key),
        "spec": digest({name: value for name, value in found.items() if name not in apart}, key),
    }
    if counted and "generation" in metadata:
        values["generation"] = str(metadata["generation"])
    if "deletionTimestamp" in metadata:
        values["deleted"] = metadata["deletionTimestamp"]
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    return [printable("%s %s" % (kind, name)), values, metadata["uid"]]


def digest(value: Any, key: bytes) -> str:
    """Keyed, since a Secret is a short text as often as not."""
    return hmac.new(key, json.dumps(value, sort_keys=True).encode(), "sha256").hexdigest()[:32]
