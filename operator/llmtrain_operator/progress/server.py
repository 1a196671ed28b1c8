"""Takes progress reports: HTTPS, a bearer token bound to a pod, accepted for that pod's attempt only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from aiohttp import web
from pydantic import ValidationError

from llmtrain_api import ProgressReport
from llmtrain_api.names import REPORT_PATH

from ..kube.api import ApiError
from ..kube.store import PodStore
from ..types import Pod
from .auth import Authenticator
from .latest import ReportBook

MAX_BODY_BYTES = 64 * 1024
log = structlog.get_logger()


class ReportServer:
    """The HTTP side of the report book."""

    def __init__(
        self,
        authenticator: Authenticator,
        store: PodStore,
        book: ReportBook,
        reported: Callable[[Pod], None],
        counted: Callable[[str], None],
    ) -> None:
        self._authenticator = authenticator
        self._store = store
        self._book = book
        self._reported = reported
        self._counted = counted

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(REPORT_PATH, self.take)
        return app

    async def take(self, request: web.Request) -> web.Response:
        """200 with an empty object, or why not."""
        status, message = await self._judge(request)
        self._counted(str(status))
        if status == 200:
            return web.json_response({})
        log.warning("report-refused", status=status, reason=message)
        return web.json_response({"error": message}, status=status)

    async def _judge(self, request: web.Request) -> tuple[int, str]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return 401, "a bearer token is needed"
        try:
            uid = await self._authenticator.pod_uid(token)
        except ApiError as error:
            return 503, f"the token cannot be checked now: {error.message}"
        if uid is None:
            return 401, "the token is not valid for progress reports"
        pod = self._store.get(uid)
        if pod is None:
            return 403, "the token belongs to no worker pod"
        try:
            report = ProgressReport.model_validate_json(await request.read())
        except ValidationError as error:
            return 400, f"not a report: {error.errors(include_url=False, include_input=False)}"
        if (report.job_uid, report.attempt) != (pod.job_uid, pod.attempt):
            return 403, f"pod {pod.name} may only report for its own job and attempt"
        if self._book.take(report, datetime.now(UTC)):
            self._reported(pod)
        return 200, ""
