"""Client of the Skyproof forecast API. It knows the wire alone: nothing of the server is imported."""

from skyproof_sdk.client import AsyncClient, Client
from skyproof_sdk.errors import ApiError, ProofError, SdkError, WaitTimeoutError
from skyproof_sdk.forecast import Forecast
from skyproof_sdk.proof import Receipt, check_proof
from skyproof_sdk.questions import ForecastQuestion
from skyproof_sdk.runs import RunAvailable

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Forecast",
    "ForecastQuestion",
    "ProofError",
    "Receipt",
    "RunAvailable",
    "SdkError",
    "WaitTimeoutError",
    "check_proof",
]
