#!/usr/bin/env bash
# The whole benchmark on a GPU, in one call of at most ten minutes:
#
#   bench/gpu.sh [--device cuda|cpu] [--replicas N] [--only PART...] [--quick] [--out FOLDER]
#
# It compares boxes with the CPU's, times the predictor beside torchvision's, sets the backbone's rate beside a matrix
# product's, and serves: with one HTTP process, and with N where --replicas is given. Each part is written to
# bench/results/gpu-*.md (with --quick under /tmp) as soon as it is done. `--only backbone serve` measures those two,
# where a GPU is at hand for minutes. `--device cpu --quick` shows without a GPU that all of it runs.
#
# It needs Python (.venv, else $PYTHON, else python3) with torch, torchvision, pillow, safetensors and numpy.
# Without FastAPI and what else the service needs, serving is skipped, and that is said. A machine without a network
# can be given it as a folder of wheels, whose content comes before what is installed there. Made anywhere, for the
# Python of that machine, here 3.12:
#
#   python3 scripts/lock_without.py requirements.txt torch torchvision triton 'nvidia-*' 'cuda-*' openvino \
#       'openvino-*' numpy sympy networkx setuptools > lock.txt
#   python3 -m pip download -d wheels --only-binary :all: --no-deps --python-version 3.12 --implementation cp \
#       --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 -r lock.txt
#   python3 -m pip wheel -w wheels --no-deps .
#   BENCH_WHEELS=wheels bench/gpu.sh
#
# BENCH_SECONDS, 590 unless told, is when it ends at the latest, whatever installing the wheels takes.
set -euo pipefail
SECONDS=0
# The seconds that are left, at least one: to timeout none is no limit.
left() { echo $((${BENCH_SECONDS:-590} > SECONDS ? ${BENCH_SECONDS:-590} - SECONDS : 1)); }

wheels=${BENCH_WHEELS:+$(realpath "$BENCH_WHEELS")}
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if [ -x .venv/bin/python ]; then python=.venv/bin/python; fi

export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -n "$wheels" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    timeout "$(left)" "$python" -m pip install --quiet --no-index --no-deps --target "$site" "$wheels"/*.whl
    export PYTHONPATH="$PYTHONPATH:$site"
fi

# SIGINT, so that what was started is ended too; what was written by then stays.
timeout --signal=INT --kill-after=5 "$(left)" "$python" -m bench.gpu "$@"
