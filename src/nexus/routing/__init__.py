"""Pure decisions: snapshot and requirements to a ranking or a refusal."""

from nexus.routing.decision import Decision, Refusal
from nexus.routing.explain import explain
from nexus.routing.policies import POLICIES
from nexus.routing.router import decide
from nexus.routing.strategies import STRATEGIES

__all__ = ["POLICIES", "STRATEGIES", "Decision", "Refusal", "decide", "explain"]
