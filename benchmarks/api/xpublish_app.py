"""xpublish with xpublish-edr around a dataset in memory; runs in the peers' environment: ``uvicorn xpublish_app:app``."""

import os

import xarray as xr
from xpublish import Rest
from xpublish_edr import CfEdrPlugin

app = Rest({"run": xr.open_dataset(os.environ["PEER_DATA"]).load()}, plugins={"edr": CfEdrPlugin()}).app
