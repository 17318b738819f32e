#!/bin/sh
# What an accelerator gives, in at most six minutes and without a network: see bench/gpu.py. From the project's root;
# PYTHON names another interpreter. Without an accelerator it runs in small on the CPU.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
HF_HUB_OFFLINE=1 PYTHONPATH=. exec timeout 360 "$PYTHON" bench/gpu.py "$@"
