"""Takes progress reports: HTTPS, a bearer token bound to a pod, accepted for that pod's attempt only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from aiohttp import web
from pydantic import ValidationError

from llmtrain_api import ProgressReport
from llmtrain_api.names import REPORT_PATH

from ..kube.api import ApiError
from ..kube.store import PodStore
from ..listener import request_is_in
from ..types import JobRef, Pod
from .auth import Authenticator, Busy, PodIdentity
from .latest import ReportBook

MAX_BODY_BYTES = 64 * 1024
Forward = Callable[[web.Request, bytes], Awaitable[tuple[int, str] | None]]
log = structlog.get_logger()


async def _here(_: web.Request, __: bytes) -> None:
    """There is no other operator."""


class ReportServer:
    """The HTTP side of the report book.

    Args:
        exists: whether that very job is there: in that namespace, with that name and that UID.
        reported: called with the pod of each report that was news.
        counted: called with the HTTP status of each answer.
        forward: asks the operator that acts, where that is another one; None = it is this one.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        store: PodStore,
        book: ReportBook,
        exists: Callable[[JobRef], bool],
        reported: Callable[[Pod], None],
        counted: Callable[[str], None],
        forward: Forward = _here,
    ) -> None:
        self._authenticator = authenticator
        self._store = store
        self._book = book
        self._exists = exists
        self._reported = reported
        self._counted = counted
        self._forward = forward

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(REPORT_PATH, self.receive)
        return app

    async def receive(self, request: web.Request) -> web.Response:
        """200 with an empty object, or why not."""
        body = await request.read()
        request_is_in(request.transport)
        status, message = await self._judge(request, body)
        self._counted(str(status))
        if status != 200:
            log.warning("report-refused", status=status, reason=message)
        response = web.json_response({} if status == 200 else {"error": message}, status=status)
        # an idle connection costs as much as a busy one, and the next report is seconds away
        response.force_close()
        return response

    async def _judge(self, request: web.Request, body: bytes) -> tuple[int, str]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return 401, "a bearer token is needed"
        try:
            holder = await self._authenticator.identify(token, request.remote or "")
        except ApiError as error:
            return 503, f"the token cannot be checked now: {error.message}"
        except Busy as error:
            return 429, str(error)
        if holder is None:
            return 401, "the token is not valid for progress reports of a worker pod"
        # after the token: strangers do not reach the leader through an operator that stands by
        return await self._forward(request, body) or self._take(holder, body)

    def _take(self, holder: PodIdentity, body: bytes) -> tuple[int, str]:
        """A report of that pod."""
        pod = self._store.get(holder.uid)
        if pod is None or (pod.namespace, pod.name) != (holder.namespace, holder.name):
            return 403, "the token belongs to no worker pod"
        if not self._exists(pod.owner):
            return 403, f"there is no job {pod.namespace}/{pod.job} with UID {pod.job_uid}"
        try:
            report = ProgressReport.model_validate_json(body)
        except ValidationError as error:
            return 400, f"not a report: {error.errors(include_url=False, include_input=False)}"
        before_gang = pod.stage is not None
        # what runs before the gang works for attempt 0
        if (report.job_uid, report.attempt) != (pod.job_uid, 0 if before_gang else pod.attempt):
            return 403, f"pod {pod.name} may only report for its own job and attempt"
        if self._book.record(pod.owner, report, datetime.now(UTC), before_gang=before_gang):
            self._reported(pod)
        return 200, ""
