"""Reinforcement learning in a stream: traces of reward over the traces of any learning rule."""

from .actor_critic import ActorCritic
from .agent import Agent
from .fixed import Fixed, TrueOnline
from .obgd import AdaptiveObGD, ObGD
from .policies import Categorical, Gaussian, Policy
from .td import TD
from .tidbd import TIDBD
from .traces import TRACES
from .update import Transition, Update

__all__ = [
    "TD", "TIDBD", "TRACES", "ActorCritic", "AdaptiveObGD", "Agent", "Categorical", "Fixed",
    "Gaussian", "ObGD", "Policy", "Transition", "TrueOnline", "Update",
]  # fmt: skip
