"""The command line: `hack/cluster VERB`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable

from barecluster import build, images, lifecycle, power, teardown, toolchain, transfer
from barecluster.console import ClusterError
from barecluster.settings import DEFAULT_NAME, Settings, settings_for

_ABOUT = (
    "A real Kubernetes on this machine: no Docker, no registry. Needs root on Debian 12 or a system like it."
)
_FOLDERS = """\
folders: LLMTRAIN_STATE (default /var/lib/llmtrain) holds an instance's state, LLMTRAIN_CACHE (default
~/.cache/llmtrain) the built programs and images, LLMTRAIN_WHEELS wheels for image builds (default:
shared/wheels beside the repository). docs/cluster.md tells the rest."""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    shape = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("hack/cluster", description=_ABOUT, epilog=_FOLDERS, formatter_class=shape)
    top.add_argument("--name", default=DEFAULT_NAME, help="the instance (default: %(default)s)")
    # Also taken after the verb, where it must not overwrite one before the verb.
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--name", default=argparse.SUPPRESS, help="the instance")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text, parents=[shared])

    up = verb("up", "bring the cluster up, or repair it; quick when it is up")
    up.add_argument("--nodes", type=int, default=2, metavar="N", help="nodes to have (default: %(default)s)")
    up.add_argument("--control-plane-only", action="store_true", help="no nodes: pods stay Pending")
    down = verb("down", "end everything it started; images on the nodes and the volume stay")
    down.add_argument("--purge", action="store_true", help="remove the volume, images on nodes and logs too")
    verb("status", "tell how each part is; exits 1 unless all is well")
    verb("env", "print exports of KUBECONFIG and PATH for a shell to eval")
    kill = verb("node-kill", "cut the power of a node: all its processes die at once, and nobody is told")
    start = verb("node-start", "start a node that was killed; returns when it is Ready")
    for one in (kill, start):
        one.add_argument(
            "node", type=node_number, metavar="N", help="the node's number, or its name: 2 or node2"
        )
    logs = verb("logs", "print the end of a process's log")
    logs.add_argument("process", nargs="?", help="apiserver, kubelet-node1, ... (default: list them)")
    logs.add_argument("-n", "--lines", type=int, default=50, help="lines to print (default: %(default)s)")
    verb("install", "install the Debian packages and the Go compiler that are missing")
    builder = verb("build", "build the programs that are not in the cache")
    builder.add_argument("modules", nargs="*", metavar="NAME", help=f"{', '.join(build.ALL)} (default: all)")
    maker = verb("images", "build the images whose sources changed")
    maker.add_argument("images", nargs="*", metavar="NAME", help=f"{', '.join(images.NAMES)} (default: all)")
    load = verb("load", "send images to every node, only the layers that it lacks")
    load.add_argument("images", nargs="*", metavar="IMAGE", help="default: every image that `images` builds")
    return top


def node_number(text: str) -> int:
    """The number in `2` or `node2`."""
    found = re.fullmatch(r"(?:node)?([0-9]{1,3})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no node: say 2 or node2")
    return int(found[1])


def main() -> int:
    """Run one verb."""
    options = parser().parse_args()
    try:
        return run(options, settings_for(options.name))
    except ClusterError as error:
        print(f"hack/cluster: {error}", file=sys.stderr)
    except BrokenPipeError:  # `hack/cluster status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("hack/cluster: interrupted", file=sys.stderr)
    return 1


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Do what the verb says; its exit code."""
    return 1 if _VERBS[options.verb](options, settings) is False else 0


def _environment(_: argparse.Namespace, settings: Settings) -> None:
    print(f'export KUBECONFIG="{settings.kubeconfig}"')
    print(f'export PATH="{settings.bin}:$PATH"')


def _install(_: argparse.Namespace, settings: Settings) -> None:
    toolchain.install(settings.cache)
    toolchain.go_command(settings.cache)


# False is exit code 1
_VERBS: dict[str, Callable[[argparse.Namespace, Settings], object]] = {
    "up": lambda options, settings: lifecycle.up(
        settings, 0 if options.control_plane_only else options.nodes
    ),
    "down": lambda options, settings: teardown.down(settings, purge=options.purge),
    "status": lambda _, settings: lifecycle.status(settings),
    "env": _environment,
    "node-kill": lambda options, settings: power.kill(settings, options.node),
    "node-start": lambda options, settings: power.start(settings, options.node),
    "logs": lambda options, settings: lifecycle.show_log(settings, options.process, options.lines),
    "install": _install,
    "build": lambda options, settings: build.ensure(options.modules or build.ALL, settings.cache),
    "images": lambda options, settings: images.build_images(options.images or images.NAMES, settings.cache),
    "load": lambda options, settings: transfer.load(
        settings, options.images or [images.TAGS[name] for name in images.NAMES]
    ),
}


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
