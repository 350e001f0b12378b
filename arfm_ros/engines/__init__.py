"""Policies on a runtime: load a bundle, check it, run it. Never imports torch."""

from arfm_ros.engines.bundle import Bundle, load_bundle
from arfm_ros.engines.load import load_policy
from arfm_ros.engines.policy import EnginePolicy

__all__ = ["Bundle", "EnginePolicy", "load_bundle", "load_policy"]
