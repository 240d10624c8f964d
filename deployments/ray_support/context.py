"""Carries the context of a call (packshot/telemetry/context.py) from replica to replica.

A caller wraps its handles with `with_context`. A deployment's class has the decorator `stage`, which unpacks the
context around each call and opens a span for it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from typing import Any, TypeAlias, TypeVar

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.middleware import Middleware

from deployments.ray_support.loopback import keep_to_loopback
from deployments.ray_support.proxy_middleware import ProxyMiddleware
from packshot.settings import Settings
from packshot.telemetry import context, traces
from packshot.telemetry.logs import configure_logs

HOOKS = frozenset({"reconfigure", "check_health", "record_autoscaling_stats"})
"""Public methods that Serve itself calls. They have no caller whose context could be continued."""

Class = TypeVar("Class")
Carried: TypeAlias = Mapping[str, str] | None


class ContextHandle:
    """A handle whose calls carry the caller's context."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    def options(self, **options: Any) -> ContextHandle:
        """As `DeploymentHandle.options`."""
        return ContextHandle(self._handle.options(**options))

    def __getattr__(self, method: str) -> _Method:
        return _Method(getattr(self._handle, method))


class _Method:
    def __init__(self, method: DeploymentHandle[Any]) -> None:
        self._method = method

    def remote(self, *args: Any) -> Any:
        """As `DeploymentHandle.remote`."""
        return self._method.remote(*args, carried=context.carrier())


def with_context(handle: DeploymentHandle[Any]) -> ContextHandle:
    """Wrap a handle of a deployment that has the decorator `stage`."""
    return ContextHandle(handle)


def stage(name: str) -> Callable[[type[Class]], type[Class]]:
    """Decorate the class of the deployment `name`; put it under `@serve.deployment`.

    A new replica configures its logs and traces. Each public method takes one more argument, `carried`, which
    `with_context` gives, and runs in that context and in a span `name.method`.
    """

    def decorate(cls: type[Class]) -> type[Class]:
        for method, function in list(vars(cls).items()):
            if inspect.isfunction(function) and not method.startswith("_") and method not in HOOKS:
                setattr(cls, method, _continuing(f"{name}.{method}", function))
        setattr(cls, "__init__", _configuring(name, cls.__init__))  # noqa: B010 - mypy refuses the assignment
        return cls

    return decorate


def _configuring(name: str, init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def configured(self: object, *args: Any, **kwargs: Any) -> None:
        configure_process(name)
        keep_to_loopback()
        init(self, *args, **kwargs)

    return configured


def configure_process(name: str) -> None:
    """Configure logs and traces of this process, which is a replica of the deployment `name` or a part of Serve.

    With text logs, Serve's own records keep their form. With JSON logs they have ours.
    """
    settings = Settings()
    handler = configure_logs(settings.log_format, name)
    handler.addFilter(_add_request)
    if settings.log_format == "json":
        _take_over_serve(handler)
    traces.configure_traces(settings.traces, name)


def configure_controller() -> None:
    """Serve's hook RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH: the controller's log lines have our form."""
    configure_process("controller")


def configure_proxy() -> list[Middleware]:
    """Serve's hook RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, as above. It puts `ProxyMiddleware` before the routes."""
    configure_process("proxy")
    return [Middleware(ProxyMiddleware)]


def _take_over_serve(handler: logging.Handler) -> None:
    """Send the records of Serve and Ray to `handler`; Serve's own log files stay."""
    handler.addFilter(_is_wanted)
    for logger in (logging.getLogger("ray.serve"), logging.getLogger("ray")):
        logger.handlers[:] = [one for one in logger.handlers if not _to_a_stream(one)]
        logger.handlers.append(handler)
        logger.propagate = False


def _is_wanted(record: logging.LogRecord) -> bool:
    """Whether a record is neither one that Serve writes to its files alone nor its access log, which ours repeats."""
    return getattr(record, "log_to_stderr", True) is not False and not getattr(record, "serve_access_log", False)


def _to_a_stream(handler: logging.Handler) -> bool:
    return type(handler) is logging.StreamHandler


def _add_request(record: logging.LogRecord) -> bool:
    """Name Serve's request in records that Serve writes outside of our context, such as those of calls."""
    if "request" not in context.fields() and (request := _serve_request_id()):
        record.request = request
    return True


def _serve_request_id() -> str:
    return str(serve.context._get_serve_request_context().request_id)


@contextmanager
def _continued(name: str, carried: Carried) -> Iterator[None]:
    """Run a block in a caller's context, and in a span when the caller has one."""
    with context.continued(carried), traces.span(name) if carried and "traceparent" in carried else nullcontext():
        yield


def _continuing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method `function` with the argument `carried`, of the same kind: Serve asks whether it is a coroutine."""
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def generating(self: object, *args: Any, carried: Carried = None, **kwargs: Any) -> AsyncIterator[Any]:
            with _continued(name, carried):
                async with aclosing(function(self, *args, **kwargs)) as values:
                    async for value in values:
                        yield value

        return generating
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaiting(self: object, *args: Any, carried: Carried = None, **kwargs: Any) -> Any:
            with _continued(name, carried):
                return await function(self, *args, **kwargs)

        return awaiting

    @functools.wraps(function)
    def calling(self: object, *args: Any, carried: Carried = None, **kwargs: Any) -> Any:
        with _continued(name, carried):
            return function(self, *args, **kwargs)

    return calling
