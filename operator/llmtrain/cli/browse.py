"""``llmtrain open``."""

from __future__ import annotations

import re
import subprocess
import webbrowser
from typing import Annotated
from urllib.parse import quote

import typer

from llmtrain.errors import Failed, Mistake

from . import kubectl as by_kubectl
from .options import Context, Namespace

LABELS = "app.kubernetes.io/name=llm-training-operator-web"
FORWARDED = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
NO_KUBECTL = "; install it, or forward the page's port in another way"
INSTALL = "web.enabled=true of the chart brings it (docs/web.md)"


def open_page(
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Whose page (default: all jobs).")] = None,
    system: Annotated[
        str, typer.Option("--operator-namespace", metavar="NAME", help="Where the operator is installed.")
    ] = "llmtrain-system",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only print the address.")
    ] = True,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Forward the cluster's web page to this machine and open it; Ctrl-C ends it.

    It needs kubectl, and the right to forward ports in the operator's namespace. The page asks for a token
    of yours: kubectl create token NAME makes one for a ServiceAccount.
    """
    kubectl = [*by_kubectl.of_context(context), "-n", system]
    service, port = _service(kubectl, system)
    command = [*kubectl, "port-forward", f"service/{service}", f":{port}", "--address", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = next((match for line in process.stdout if (match := FORWARDED.search(line))), None)
            if found is None:
                raise Failed(f"kubectl did not forward port {port} of service {service} in {system}")
            scheme = "https" if port == 443 else "http"
            place = f"#/job/{quote(namespace or _usual(context))}/{quote(job)}" if job else "#/jobs"
            address = f"{scheme}://127.0.0.1:{found[1]}/{place}"
            print(address, flush=True)
            if browser:
                webbrowser.open(address)
            process.wait()
        except KeyboardInterrupt:
            pass
        finally:
            process.terminate()


def _service(kubectl: list[str], system: str) -> tuple[str, int]:
    """Name and port of the page's Service."""
    form = "jsonpath={range .items[*]}{.metadata.name} {.spec.ports[0].port}{'\\n'}{end}"
    command = [*kubectl, "get", "services", "-l", LABELS, "-o", form]
    found = by_kubectl.said(command, NO_KUBECTL).split()
    if len(found) < 2:
        raise Mistake(
            f"there is no page in namespace {system}: {INSTALL}; where the operator is in another namespace, "
            "use --operator-namespace"
        )
    return found[0], int(found[1])


def _usual(context: str | None) -> str:
    """The namespace of the kubeconfig's context."""
    form = "jsonpath={.contexts[0].context.namespace}"
    command = [*by_kubectl.of_context(context), "config", "view", "--minify", "-o", form]
    return by_kubectl.said(command, NO_KUBECTL).strip() or "default"
