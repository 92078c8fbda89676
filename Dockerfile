# syntax=docker/dockerfile:1
# Three images: serve (CPU, the default), serve-gpu, train.
#   docker build -t muquery .
#   docker build -t muquery:gpu --target serve-gpu .
#   docker build -t muquery:train --target train .

FROM python:3.12-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN useradd --system --uid 10001 --create-home --home-dir /home/muquery muquery \
    && install -d -o muquery -g muquery /data
WORKDIR /app

FROM base AS build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY muquery muquery
COPY models models
COPY indexer indexer
COPY service service
COPY migrations migrations
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM base AS serve-gpu
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
# faiss-gpu and onnxruntime-gpu own the same import names as the CPU packages that the base
# install asks for: the last two steps put the GPU ones in their place.
RUN grep -viE '^(torch|onnxruntime|faiss)' /tmp/constraints.txt > /tmp/pins.txt \
    && pip install --constraint /tmp/pins.txt --find-links /wheels \
        'muquery[gpu,postgres,s3,milvus]' \
    && pip uninstall --yes faiss-cpu faiss-gpu onnxruntime onnxruntime-gpu \
    && pip install --no-deps faiss-gpu onnxruntime-gpu \
    && rm -rf /wheels
ENV MUQUERY_DATA_DIR=/data MUQUERY_HOST=0.0.0.0 MUQUERY_PORT=8000 MUQUERY_DEVICE=cuda
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/v1/health/live', timeout=4)"]
CMD ["muquery", "serve"]

FROM base AS train
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
# onnxruntime and faiss stay the CPU ones here; torch brings CUDA with it.
RUN pip install --constraint /tmp/constraints.txt --find-links /wheels 'muquery[train]' \
    && rm -rf /wheels
USER 10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["muquery", "train"]
CMD ["--help"]

FROM base AS serve
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --constraint /tmp/constraints.txt --find-links /wheels 'muquery[postgres,s3,milvus]' \
    && rm -rf /wheels
ENV MUQUERY_DATA_DIR=/data MUQUERY_HOST=0.0.0.0 MUQUERY_PORT=8000
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/v1/health/live', timeout=4)"]
CMD ["muquery", "serve"]
