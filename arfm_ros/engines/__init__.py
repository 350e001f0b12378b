"""Policies on a runtime: load a bundle, check it, run it. Never imports torch."""

from arfm_ros.engines.bundle import Bundle, load_bundle
from arfm_ros.engines.onnx_engine import OnnxPolicy, load_policy

__all__ = ["Bundle", "OnnxPolicy", "load_bundle", "load_policy"]
