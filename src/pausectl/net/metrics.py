# SPDX-License-Identifier: Apache-2.0
"""What a server counts, for Prometheus. Labels come from fixed sets, never from a request: memory stays bounded."""

from __future__ import annotations

from pausectl.errors import UsageFault

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.exposition import CONTENT_TYPE_LATEST
except ImportError as error:
    raise UsageFault("a server needs more than is installed", hint="pip install 'pausectl[log]'") from error

#: The rest is for rooms that have numbers of their own to add to a `Metrics.registry`.
__all__ = ["Counter", "Gauge", "GaugeMetricFamily", "Histogram", "Metrics"]

_METHODS = frozenset({"GET", "HEAD", "POST"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The numbers of one server. registry: where a room adds numbers of its own."""

    type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "pausectl_http_requests", "Requests answered.", ("door", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "pausectl_http_request_seconds", "From the head to the answer.", ("door",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._in_flight = Gauge("pausectl_http_in_flight", "Requests not answered yet.", registry=self.registry)
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def begin(self) -> None:
        """A request came in."""
        self._in_flight.inc()

    def end(self, door: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. door: the path as the door has it, not as it was asked."""
        self._in_flight.dec()
        method = method if method in _METHODS else "other"
        pair = self._known.get((door, method, status))
        if pair is None:
            pair = self._requests.labels(door, method, str(status)), self._seconds.labels(door)
            self._known[door, method, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus's text format."""
        return generate_latest(self.registry)
