"""What every answer and every request of the page must keep to: headers, hosts, and who is behind a click."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
ACTION_HEADER = "X-Llmtrain-Action"
"""No form and no other site's script can send it, unless we allowed that site."""
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class Refusal(Exception):
    """A request that is answered with a sentence and a status.

    Attributes:
        status: of HTTP.
        message: for a person.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def refused(refusal: Refusal) -> web.Response:
    """The answer to it."""
    response = web.json_response({"error": refusal.message}, status=refusal.status)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="llmtrain"'
    return response


def guarded(loopback: bool) -> Middleware:
    """Middleware: the headers of every answer, and refusals as JSON.

    Args:
        loopback: only names of this machine may be asked for: a stranger's name that points here is an attack
            (DNS rebinding).
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if loopback and _host(request.headers.get("Host", "")) not in LOOPBACK_HOSTS:
                raise Refusal(421, "this page is served to this machine alone: open it as 127.0.0.1")
            response = await handler(request)
        except Refusal as refusal:
            response = refused(refusal)
        except web.HTTPException as error:
            response = refused(Refusal(error.status, error.reason))
        if not response.prepared:
            # a connection for each request, as one that stays open could be anybody's
            response.force_close()
        return response

    return guard


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal: before an answer goes out."""
    response.headers.update(HEADERS)
    if request.path.startswith("/api/"):
        response.headers["Cache-Control"] = "no-store"


def check_action(request: web.Request) -> None:
    """A change must come from our own page: a proxy may add a user's token to whatever their browser sends.

    Raises:
        Refusal: it does not.
    """
    if request.headers.get(ACTION_HEADER) != "1":
        raise Refusal(403, f"a change needs the header {ACTION_HEADER}: 1")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Refusal(403, "a change must come from this page, and not from another site")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise Refusal(403, "a change must come from this page, and not from another site")


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
