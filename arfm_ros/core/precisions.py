"""What the products of matrices of a network can be computed in."""

from __future__ import annotations

FEW_BITS = ("int8", "fp8", "nvfp4")  # scaled by what the network sees: from recorded episodes
ON_CPU = "int4"  # of weights alone, by onnxruntime; no data is needed
PRECISIONS = ("fp32", "fp16", "bf16", *FEW_BITS, ON_CPU)
LEAST_SM = {"fp8": 89, "nvfp4": 100}  # the compute capability from which a GPU has it, 8.9 and 10
