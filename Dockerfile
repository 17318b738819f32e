# The project at a fixed path with locked dependencies, for server, worker and single commands alike: see compose.yaml.
FROM python:3.11-slim-bookworm
# git: the version of the code stands in every run. wget: KubeRay asks its containers with it how they are. A release of
# either would be gone from Debian's archive with the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 coder \
    && mkdir -p /var/lib/coder-eval \
    && chown coder /var/lib/coder-eval
WORKDIR /opt/coder-eval
# Dependencies first: a changed source does not install them again. Packages of extras have the releases that dev.txt has
# locked; on a cluster add prefect-dask or prefect-ray: --build-arg PACKAGES="s3fs pillow-heif prefect-dask".
ARG PACKAGES="s3fs pillow-heif"
COPY requirements requirements
RUN pip install --no-cache-dir --require-hashes --requirement requirements/run.txt \
    && sed -e '/--hash=/d' -e 's/ \\$//' requirements/dev.txt > /tmp/locked.txt \
    && pip install --no-cache-dir --constraint /tmp/locked.txt $PACKAGES
COPY . .
RUN pip install --no-cache-dir --no-deps --editable . && chown -R coder .
# As a number: a cluster that lets no root run cannot look names up.
USER 10001
ENV PREFECT_HOME=/var/lib/coder-eval PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
VOLUME /var/lib/coder-eval
CMD ["coder-eval", "run"]
