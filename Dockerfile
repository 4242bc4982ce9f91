ARG BASE=python:3.11-slim-bookworm
# The GPU image is this file, too:
#   docker build -t braid:gpu --build-arg BASE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04 --build-arg LOCK=gpu .
# LOCK: cpu, gpu, or librosa (cpu with librosa, for bundles whose features only librosa computes): docker/lock/*.txt

# hadolint ignore=DL3006
FROM ${BASE} AS base
# CUDA images bring no Python. Its version is the distribution's: nothing to pin.
# hadolint ignore=DL3008
RUN command -v python3 || { apt-get update && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*; }


FROM base AS build
ARG LOCK=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/braid
COPY docker/lock/build.txt docker/lock/${LOCK}.txt /lock/
# What only developers run, onnxruntime's library for C and the lexers for coloured source code go (75 MB).
# Byte-code is never compared with its source: layers do not keep the times that the default compares.
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=cabundle,target=/etc/ssl/certs/extra-ca.pem,required=false \
    set -- --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
    && /build/bin/pip install "$@" -r /lock/build.txt \
    && /build/bin/pip --python /opt/braid/bin/python install "$@" -r "/lock/${LOCK}.txt" \
    && find /opt/braid/lib -depth -type d \( -name tests -o -path '*/numpy/f2py' -o -path '*/numpy/distutils' \
        -o -path '*/onnxruntime/tools' -o -path '*/onnxruntime/transformers' -o -path '*/onnxruntime/quantization' \) \
        -exec rm -r {} + \
    && find /opt/braid/lib \( -path '*/pygments/lexers/[a-z]*.py' -o -path '*/onnxruntime/capi/libonnxruntime.so.*' \) -delete \
    && /build/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/braid/lib
COPY pyproject.toml README.md LICENSE /src/
COPY service /src/service
COPY models /src/models
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /wheel /src \
    && /build/bin/pip --python /opt/braid/bin/python install --no-cache-dir --no-compile --no-deps --no-index --target /app /wheel/*.whl \
    && /build/bin/python -m compileall -q --invalidation-mode unchecked-hash /app


FROM base
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Braid" \
    org.opencontainers.image.description="Serves multimodal ONNX models over REST: text, image and sound in one request" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/braid /opt/braid
COPY docker/healthcheck.py /opt/braid/healthcheck.py
COPY models/bundles /bundles
COPY --from=build /app /app
ENV PATH=/app/bin:/opt/braid/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BRAID_HOST=0.0.0.0 \
    BRAID_PORT=8000 \
    BRAID_BUNDLES=/bundles
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python", "/opt/braid/healthcheck.py"]
ENTRYPOINT ["braid"]
CMD ["serve"]
