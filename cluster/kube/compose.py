"""Renders a profile of one machine as a Docker Compose file: the API, PostgreSQL and MinIO.

127.0.0.1:8000 ──> api (`packshot serve`, behind its own nginx) ──> postgres
                                                                └──> minio  <── bucket, once
"""

from __future__ import annotations

from typing import Any

from cluster.kube.rayservice import NAME
from cluster.profiles import Pool, Profile

FOLDER = "compose"
"""Where the files lie, from the repository's root. Paths in them are relative to it."""
PORT = 8000
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - of the container; its port is published on this machine only
HOME = "/var/lib/packshot"
POSTGRES = "postgres:17.2-alpine"
MINIO = "minio/minio:RELEASE.2025-09-07T16-13-09Z"
DATABASE_PASSWORD = "${POSTGRES_PASSWORD:?write it into compose/.env}"  # noqa: S105 - a reference
BUCKET_PASSWORD = "${MINIO_PASSWORD:?write it into compose/.env}"  # noqa: S105 - a reference
STOP_S = 150
"""Time that a stopping API has to finish what it began, as a pod on Kubernetes has."""
SHM_SPARE_MIB = 64

HARDENED = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "restart": "unless-stopped"}


def compose(profile: Profile) -> dict[str, Any]:
    """The Compose file of a profile. Raises BadInput when the profile needs several machines."""
    machine = profile.machine
    services = {
        "api": _api(profile, machine),
        "postgres": _postgres(),
        "minio": _minio(),
        "bucket": _bucket(),
    }
    if profile.packs:
        services["weights"] = _weights(profile)
        services["api"]["depends_on"]["weights"] = {"condition": "service_completed_successfully"}
    return {
        "name": NAME,
        "services": services,
        "volumes": {name: {} for name in ("home", "tmp", "database", "assets")},
    }


def _image(machine: Pool) -> dict[str, Any]:
    target = "cuda" if machine.gpus else "cpu"
    return {"image": f"{NAME}-{target}:dev", "build": {"context": "..", "target": target}}


def _api(profile: Profile, machine: Pool) -> dict[str, Any]:
    resources: dict[str, Any] = {"limits": {"cpus": f"{machine.cpus:g}", "memory": f"{machine.memory_gib:g}G"}}
    if machine.gpus:
        devices = {"driver": "nvidia", "count": machine.gpus, "capabilities": ["gpu"]}
        resources["reservations"] = {"devices": [devices]}
    return {
        **_image(machine),
        "command": ["packshot", "serve", "--host", ANY_ADDRESS, "--port", str(PORT), "--profile", profile.name],
        "environment": {
            "PACKSHOT_HOME": HOME,
            "PACKSHOT_DATABASE_URL": f"postgresql+psycopg://{NAME}:{DATABASE_PASSWORD}@postgres:5432/{NAME}",
            "PACKSHOT_ASSETS_URL": f"s3://{NAME}/assets",
            "AWS_ACCESS_KEY_ID": NAME,
            "AWS_SECRET_ACCESS_KEY": BUCKET_PASSWORD,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": "http://minio:9000",
        },
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "volumes": [f"home:{HOME}", "tmp:/tmp"],
        "read_only": True,
        "init": True,
        "shm_size": f"{machine.object_store_mib + SHM_SPARE_MIB}m",  # Ray's object store
        "stop_grace_period": f"{STOP_S}s",
        "deploy": {"resources": resources},
        "depends_on": {
            "postgres": {"condition": "service_healthy"},
            "bucket": {"condition": "service_completed_successfully"},
        },
        "healthcheck": {
            "test": ["CMD", "wget", "-q", "-T", "5", "-O", "/dev/null", f"http://127.0.0.1:{PORT}/readyz"],
            "interval": "10s",
            "timeout": "10s",
            "retries": 3,
            "start_period": "10m",
        },
        **HARDENED,
    }


def _weights(profile: Profile) -> dict[str, Any]:
    """Fetches the profile's packs into the volume before the API starts. Existing files are only verified."""
    fetch = " && ".join(f"packshot packs fetch {name} && packshot packs verify {name}" for name in profile.packs)
    return {
        **_image(profile.machine),
        "command": ["sh", "-ec", fetch],
        "environment": {"PACKSHOT_HOME": HOME, "PACKSHOT_OFFLINE": "false"},
        "volumes": [f"home:{HOME}", "tmp:/tmp"],
        "read_only": True,
        **HARDENED,
        "restart": "no",
    }


def _postgres() -> dict[str, Any]:
    return {
        "image": POSTGRES,
        "environment": {"POSTGRES_USER": NAME, "POSTGRES_PASSWORD": DATABASE_PASSWORD, "POSTGRES_DB": NAME},
        "volumes": ["database:/var/lib/postgresql/data"],
        "healthcheck": {
            "test": ["CMD", "pg_isready", "--username", NAME, "--dbname", NAME],
            "interval": "5s",
            "timeout": "5s",
            "retries": 12,
        },
        "restart": "unless-stopped",
    }


def _minio() -> dict[str, Any]:
    return {
        "image": MINIO,
        "command": ["server", "/data"],
        "environment": {"MINIO_ROOT_USER": NAME, "MINIO_ROOT_PASSWORD": BUCKET_PASSWORD},
        "volumes": ["assets:/data"],
        "healthcheck": {"test": ["CMD", "mc", "ready", "local"], "interval": "5s", "timeout": "5s", "retries": 12},
        "restart": "unless-stopped",
    }


def _bucket() -> dict[str, Any]:
    """Creates the bucket once. The image of MinIO has its client, mc."""
    return {
        "image": MINIO,
        "entrypoint": ["mc"],
        "command": ["mb", "--ignore-existing", f"store/{NAME}"],
        "environment": {"MC_HOST_store": f"http://{NAME}:{BUCKET_PASSWORD}@minio:9000"},
        "depends_on": {"minio": {"condition": "service_healthy"}},
        "restart": "no",
    }
