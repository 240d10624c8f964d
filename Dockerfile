# Packshot's images. Targets:
#   cpu         head, gateways, directors; a development cluster     docker build --target cpu  --tag packshot:dev .
#   cuda        pods with GPUs, weights mounted                      docker build --target cuda --tag packshot-cuda .
#   cuda-baked  the same with one pack's weights in the image        … --target cuda-baked --build-arg PACK=sd15 …
#   loadtest    the Jobs of loadtest/k8s                             docker build --target loadtest --tag packshot-loadtest:dev .
# For production name the base by its digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm


FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.8 && python -m venv /opt/packshot/venv
WORKDIR /opt/packshot/app
COPY constraints.txt pyproject.toml ./


# Torch with CPU kernels only: a third of the size.
FROM build AS build-cpu
RUN uv pip install --no-cache --python /opt/packshot/venv --constraint constraints.txt --torch-backend cpu \
      --requirements pyproject.toml --extra serve --extra postgres --extra s3 --extra otlp
# What .dockerignore lets in: the code, and the page.
COPY . .
RUN uv pip install --no-cache --python /opt/packshot/venv --no-deps --editable . && python -m compileall -q .


# With the load generator, which no server needs.
FROM build-cpu AS build-loadtest
RUN uv pip install --no-cache --python /opt/packshot/venv --constraint constraints.txt --torch-backend cpu \
      --requirements pyproject.toml --extra loadtest


# Torch as constraints.txt pins it. CUDA's libraries come as packages, so the base needs none; the node brings the driver.
FROM build AS build-cuda
RUN uv pip install --no-cache --python /opt/packshot/venv --constraint constraints.txt \
      --requirements pyproject.toml --extra serve --extra postgres --extra s3 --extra otlp
COPY . .
RUN uv pip install --no-cache --python /opt/packshot/venv --no-deps --editable . && python -m compileall -q .


# One pack's weights, laid out as a pack's folder. Asks the model hub.
FROM build-cpu AS weights
ARG PACK=sd15
ENV PACKSHOT_HOME=/tmp/home PACKSHOT_OFFLINE=false
RUN /opt/packshot/venv/bin/packshot packs fetch "${PACK}" \
 && /opt/packshot/venv/bin/packshot packs verify "${PACK}" \
 && /opt/packshot/venv/bin/python -m cluster.kube.bake "${PACK}" /opt/packs


# What every image shares. KubeRay asks for health with bash and wget; libgomp is torch's.
FROM ${BASE} AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bash wget libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 packshot \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/packshot --create-home --shell /usr/sbin/nologin packshot
ENV PATH=/opt/packshot/venv/bin:$PATH \
    PYTHONPATH=/opt/packshot/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PACKSHOT_HOME=/var/lib/packshot
WORKDIR /var/lib/packshot
USER 10001:10001
EXPOSE 8000
CMD ["packshot", "serve", "--host", "0.0.0.0"]


FROM runtime AS cpu
COPY --from=build-cpu /opt/packshot /opt/packshot


FROM runtime AS loadtest
COPY --from=build-loadtest /opt/packshot /opt/packshot


FROM runtime AS cuda
COPY --from=build-cuda /opt/packshot /opt/packshot


FROM cuda AS cuda-baked
COPY --from=weights /opt/packs /opt/packs
ENV PACKSHOT_PACK_PATH=/opt/packs
