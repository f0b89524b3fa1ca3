"""``/navarch/v1/explain``: what the scheduler says of one pod (``?namespace=N&name=X``) and every node. Changes nothing.

Whoever asks must be allowed to read the path, the pod, and, as it speaks of them all, nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver.authorization import AuthorizerChain
from navarch.apiserver.negotiation import JSON
from navarch.apiserver.request import APIRequest
from navarch.apiserver.requestinfo import RequestInfo
from navarch.component.httpserver import Response

PATH = "/navarch/v1/explain"

Explainer = Callable[[str, str], Object]
"""(namespace, name) -> the explanation. Raises LookupError, with a text, if there is none."""


class ExplainPath:
    """Answers what is asked of the scheduler's reasons."""

    def __init__(self, authorizer: AuthorizerChain) -> None:
        self._authorizer = authorizer
        self.explainer: Explainer | None = None
        """The scheduler that runs in this process, if one does."""

    def serve(self, request: APIRequest) -> Response:
        """Raises 400, 403, 404; 503 where no scheduler runs."""
        if request.method != "GET":
            raise errors.method_not_allowed()
        namespace, name = request.option("namespace"), request.option("name")
        if not namespace or not name:
            raise errors.bad_request("a pod is named by its namespace and name")
        path = request.info.path
        self._authorizer.require(request.user, RequestInfo(path, "get", True, "", "v1", namespace, "pods", name))
        self._authorizer.require(request.user, RequestInfo(path, "list", True, "", "v1", "", "nodes", ""))
        if self.explainer is None:
            raise errors.service_unavailable("no scheduler runs beside this API server")
        try:
            found = self.explainer(namespace, name)
        except LookupError as error:
            raise errors.not_found("", "pods", name) if not error.args else errors.bad_request(str(error.args[0])) from None
        return Response(200, (("Content-Type", JSON),), orjson.dumps(found))
