"""Embedding models, precision, the registry of versions, what serves each arm.

embedder       load a model; embed queries and chunks
weights        resolve a model reference to a folder of checked weights: built in, on disk, or from a hub
onnx_embedder  embed with an exported encoder, without torch
onnx_export    trace an encoder to ONNX, check it, and describe the rest of its pipeline
onnx_int8      dynamic int8 quantization of the encoder with ONNX Runtime
precision      fp32, bf16 or int8: what this machine supports
registry       versions, one champion per set of documents folders; promote and roll back
trials         which version answers on trial until one is promoted
arms           the model version that serves each arm, swapped when the registry changes
"""
