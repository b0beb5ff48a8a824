# The service in one image: dependencies from the lock, the code, the default weights.
#
#   docker build -t region-proposal-service .                       # CUDA; runs on the CPU as well
#   docker build -t region-proposal-service --build-arg TORCH=cpu --build-arg TORCH_CPU_INDEX .
#       # PyTorch's CPU build, gigabytes smaller, from the index that the environment's TORCH_CPU_INDEX names
#   docker run --rm -p 127.0.0.1:8000:8000 --stop-timeout 180 --gpus all region-proposal-service
#       # leave out --gpus on a machine without one; docs/operation.md says why it is stopped so patiently
#
# BASE may be any Debian or Ubuntu image whose python3 is 3.11 to 3.13, with venv. BuildKit and buildah both build it.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# pip lives in an environment of its own, so /venv, which is all that leaves this stage, has none.
RUN python3 -m venv /pip && python3 -m venv --without-pip /venv
WORKDIR /build

# The dependencies: this layer is made again only when the lock changes, or the choice of PyTorch.
# cuda: PyTorch as locked; its wheels bring the CUDA libraries, the host brings only the driver.
# cpu: PyTorch's own CPU build, of the locked version, from the index TORCH_CPU_INDEX. Its hashes are not those of the lock, so it comes first.
ARG TORCH=cuda
ARG TORCH_CPU_INDEX=
COPY requirements.txt scripts/lock_without.py ./
RUN set -eu; \
    pip() { /pip/bin/python -m pip --python /venv/bin/python "$@"; }; \
    case "$TORCH" in \
    cuda) cp requirements.txt lock.txt ;; \
    cpu) \
        : "${TORCH_CPU_INDEX:?TORCH=cpu needs it, the package index of PyTorch CPU builds}"; \
        pip install --no-deps --index-url "$TORCH_CPU_INDEX" \
            $(sed -nE 's/^(torch|torchvision)==([^ ]+).*/\1==\2/p' requirements.txt); \
        python3 lock_without.py requirements.txt torch torchvision triton 'nvidia-*' 'cuda-*' > lock.txt ;; \
    *) echo "TORCH is cuda or cpu, not '$TORCH'" >&2; exit 2 ;; \
    esac; \
    pip install --require-hashes -r lock.txt

# The code and the weights, installed beside /venv: a change of code then changes one small layer of the image.
COPY pyproject.toml README.md ./
COPY weights weights
COPY model model
COPY service service
RUN /pip/bin/python -m pip --python /venv/bin/python install --no-deps --no-build-isolation --prefix /code .

FROM ${BASE}
# A fixed number, for policies that want one (runAsNonRoot) and for the owner of mounted files.
RUN groupadd --gid 10001 rpn && useradd --uid 10001 --gid rpn --create-home --shell /usr/sbin/nologin rpn
COPY --from=build /venv /venv
COPY --from=build /code /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The shipped networks as a CPU computes them, so that no start has to convert them. For other models mount a folder here
# that the service can write to.
ENV RPN_CACHE_DIR=/var/lib/region-proposal-service
RUN rpn weights prepare --cache "$RPN_CACHE_DIR" /venv/lib/python3*/site-packages/weights/*.safetensors
# Like all settings to be set anew by whoever runs it.
ENV RPN_HOST=0.0.0.0 RPN_PORT=8000
USER 10001:10001
WORKDIR /home/rpn
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive, not ready: warming up or draining is no reason to be restarted. http.client goes past any proxy settings.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from os import environ as e; from http.client import HTTPConnection as C; c = C('127.0.0.1', int(e['RPN_PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["rpn", "serve"]

# Last, for a new revision must not make the layers above again.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="region-proposal-service" \
    org.opencontainers.image.description="Pictures in, ranked class-agnostic object boxes out: a Region Proposal Network behind HTTP." \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
