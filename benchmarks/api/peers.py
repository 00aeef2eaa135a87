"""The peers: pygeoapi and xpublish-edr, each with the same values, in an environment of their own (requirements/peers.txt).

Each gets what suits it: pygeoapi the server and kind of worker of its own container image, and a file with one chunk for each
site's whole series, which it opens anew for each request; xpublish the dataset in memory. Neither checks keys, counts, or
keeps receipts.
"""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr
import yaml

from benchmarks.api.load import Pids

ENVIRONMENT = Path(".venv-peers")
_HERE = Path(__file__).parent
_ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@contextmanager
def pygeoapi(data: xr.Dataset, home: Path, port: int, workers: int) -> Iterator[tuple[str, Pids]]:
    """Serve pygeoapi by gunicorn; gives the address of a position query, to which the place is added, and its processes."""
    file, settings, described = home / "run.nc", home / "pygeoapi.yml", home / "openapi.yml"
    if not file.exists():
        shape = tuple(data.sizes[name] for name in ("time", "lat", "lon"))
        data.to_netcdf(file, engine="h5netcdf", encoding={name: {"chunksizes": (shape[0], 1, 1)} for name in data})
    settings.write_text(yaml.safe_dump(_settings(file, port)))
    environment = {**_ENVIRON, "PYGEOAPI_CONFIG": str(settings), "PYGEOAPI_OPENAPI": str(described)}
    binaries = (ENVIRONMENT / "bin").absolute()
    command = [str(binaries / "pygeoapi"), "openapi", "generate", str(settings), "--output-file", str(described)]
    made = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"pygeoapi cannot describe itself: {made.stdout[-1000:]}{made.stderr[-2000:]}")
    command = [
        str(binaries / "gunicorn"), "--workers", str(workers), "--worker-class", "gevent", "--timeout", "6000",
        "--bind", f"127.0.0.1:{port}", "pygeoapi.flask_app:APP",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}/collections/run/position?f=json&coords="
    with _running(command, environment, f"http://127.0.0.1:{port}/conformance?f=json") as pids:
        yield address, pids


@contextmanager
def xpublish(data: xr.Dataset, home: Path, port: int, workers: int) -> Iterator[tuple[str, Pids]]:
    """Serve xpublish-edr by uvicorn; the same."""
    file = home / "memory.nc"
    if not file.exists():
        data.to_netcdf(file, engine="h5netcdf")
    environment = {**_ENVIRON, "PEER_DATA": str(file)}
    command = [
        str((ENVIRONMENT / "bin" / "uvicorn").absolute()), "--app-dir", str(_HERE), "--workers", str(workers),
        "--no-access-log", "--log-level", "error", "--host", "127.0.0.1", "--port", str(port), "xpublish_app:app",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}/datasets/run/edr/position?coords="
    with _running(command, environment, f"http://127.0.0.1:{port}/datasets") as pids:
        yield address, pids


def _settings(file: Path, port: int) -> dict[str, object]:
    words = {"title": "run", "description": "run", "keywords": ["run"]}
    provider = {
        "type": "edr", "name": "xarray-edr", "data": str(file), "x_field": "lon", "y_field": "lat", "time_field": "time",
        "format": {"name": "netcdf", "mimetype": "application/x-netcdf"},
    }  # fmt: skip
    extents = {"spatial": {"bbox": [8, 40, 21, 50], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}}
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": port}, "url": f"http://127.0.0.1:{port}", "mimetype": "application/json",
            "encoding": "utf-8", "languages": ["en-US"], "limits": {"default_items": 10, "max_items": 10},
            "map": {"url": "", "attribution": ""},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {**words, "keywords_type": "theme", "terms_of_service": "", "url": "http://localhost"},
            "license": {"name": "none", "url": "http://localhost"},
            "provider": {"name": "bench", "url": "http://localhost"},
            "contact": {"name": "bench", "email": "bench@localhost"},
        },
        "resources": {"run": {"type": "collection", **words, "links": [], "extents": extents, "providers": [provider]}},
    }  # fmt: skip


@contextmanager
def _running(command: list[str], environment: dict[str, str], probe: str) -> Iterator[Pids]:
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 60
            while not _answers(probe):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not start: {process.stderr.read().decode()[-2000:]}")
                time.sleep(0.2)
            yield lambda: _family(process.pid)
        finally:
            process.terminate()
            process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _family(int(child)))]
