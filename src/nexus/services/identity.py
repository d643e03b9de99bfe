"""What one backend is, as its own replies prove it, and when that has to be asked again."""

from __future__ import annotations

from nexus.backends.base import Probe, Report
from nexus.backends.detect import Verdict, detect, known_host
from nexus.backends.fingerprint import Shapes
from nexus.domain import BackendSpec, BackendStatus


class Identity:
    """The verdict on one backend, kept until something speaks against it.

    Attributes:
        shapes: of the last reply to each question since the verdict.
    """

    def __init__(self) -> None:
        self._verdict: Verdict | None = None
        self.shapes: Shapes = {}
        self._models: frozenset[str] | None = None

    @property
    def known(self) -> bool:
        """Whether there is a verdict in force."""
        return self._verdict is not None

    @property
    def proven(self) -> bool:
        """Whether there is one, and it was more than a guess."""
        return self._verdict is not None and self._verdict.proven

    def forget(self) -> None:
        """Something else may answer there by the next check."""
        self._verdict = None

    async def examine(self, spec: BackendSpec, probe: Probe) -> Verdict | None:
        """Ask what it is now, and keep the verdict; what was seen before counts no longer."""
        self.shapes, self._models = {}, None
        self._verdict = known_host(spec.origin) or await detect(
            probe, api_root=spec.api_root, native_root=spec.native_root
        )
        return self._verdict

    def doubted(self, report: Report, shapes: Shapes) -> bool:
        """Note one round of questions.

        Args:
            report: what it found.
            shapes: of the replies.

        Returns:
            Whether another server may have given these replies, though they have the shape of
            the last ones. A server that could not be reached gave none: it is examined before the
            next round.
        """
        self.shapes = {**self.shapes, **shapes}
        if not report.answered:
            self.forget()
            return False
        return (
            report.status is BackendStatus.UNHEALTHY
            or report.type is not None
            or self._has_other_models(report)
        )

    def _has_other_models(self, report: Report) -> bool:
        """Compare with the last list: none in common, or any change where the verdict was a guess."""
        if report.models is None:
            return False
        models = frozenset(model.native_id for model in report.models)
        before, self._models = self._models, models
        if before is None or before == models:
            return False
        return not self.proven or bool(before and models and before.isdisjoint(models))
