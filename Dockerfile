# Packshot's images. Targets:
#   cpu         head, gateways, directors; a development cluster     docker build --target cpu  --tag packshot:dev .
#   cuda        pods with GPUs, weights mounted                      docker build --target cuda --tag packshot-cuda .
#   cuda-baked  the same with one pack's weights in the image        … --target cuda-baked --build-arg PACK=sd15 …
#   loadtest    the Jobs of loadtest/k8s                             docker build --target loadtest --tag packshot-loadtest:dev .
# For production name the base by its digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm


# Two layers for each image: dependencies, which change with constraints.txt, and the code, which is the same in all of
# them. A new version of Packshot is a push and a pull of the code alone.
FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.8 && python -m venv /opt/packshot/venv
WORKDIR /source
COPY constraints.txt pyproject.toml ./


# Torch with CPU kernels only: a third of the size.
FROM build AS dependencies-cpu
RUN uv pip install --no-cache --python /opt/packshot/venv --constraint constraints.txt --torch-backend cpu \
      --requirements pyproject.toml --extra serve --extra postgres --extra s3 --extra gcs --extra azure --extra otlp


# With the load generator, which no server needs.
FROM dependencies-cpu AS dependencies-loadtest
RUN uv pip install --no-cache --python /opt/packshot/venv --constraint constraints.txt --torch-backend cpu \
      --requirements pyproject.toml --extra loadtest


# Torch as constraints.txt pins it. CUDA's libraries come as packages, so the base needs none; the node brings the driver.
FROM build AS dependencies-cuda
RUN uv pip install --no-cache --python /opt/packshot/venv --constraint constraints.txt \
      --requirements pyproject.toml --extra serve --extra postgres --extra s3 --extra gcs --extra azure --extra otlp


# What .dockerignore lets in, as the wheel carries it: the code, and the page. No dependency is installed here.
FROM build AS code
COPY . .
RUN uv pip install --no-cache --python /opt/packshot/venv --no-deps --target /opt/packshot/app .


# One pack's weights, laid out as a pack's folder. Asks the model hub.
FROM dependencies-cpu AS weights
ARG PACK=sd15
COPY --from=code /opt/packshot/app /opt/packshot/app
ENV PATH=/opt/packshot/app/bin:/opt/packshot/venv/bin:$PATH PYTHONPATH=/opt/packshot/app \
    PACKSHOT_HOME=/tmp/home PACKSHOT_OFFLINE=false
RUN packshot packs fetch "${PACK}" \
 && packshot packs verify "${PACK}" \
 && python -m cluster.kube.bake "${PACK}" /opt/packs


# What every image shares. KubeRay asks for health with bash and wget; libgomp is torch's.
FROM ${BASE} AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bash wget libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 packshot \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/packshot --create-home --shell /usr/sbin/nologin packshot
ENV PATH=/opt/packshot/app/bin:/opt/packshot/venv/bin:$PATH \
    PYTHONPATH=/opt/packshot/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PACKSHOT_HOME=/var/lib/packshot
WORKDIR /var/lib/packshot
USER 10001:10001
EXPOSE 8000
CMD ["packshot", "serve", "--host", "0.0.0.0"]


FROM runtime AS cpu
COPY --from=dependencies-cpu /opt/packshot/venv /opt/packshot/venv
COPY --from=code /opt/packshot/app /opt/packshot/app


FROM runtime AS loadtest
COPY --from=dependencies-loadtest /opt/packshot/venv /opt/packshot/venv
COPY --from=code /opt/packshot/app /opt/packshot/app


FROM runtime AS cuda
COPY --from=dependencies-cuda /opt/packshot/venv /opt/packshot/venv
COPY --from=code /opt/packshot/app /opt/packshot/app


FROM cuda AS cuda-baked
COPY --from=weights /opt/packs /opt/packs
ENV PACKSHOT_PACK_PATH=/opt/packs
