"""Loaders of the benchmark sets; each gives one table per target. Times are UTC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.skill.tables import HUNDREDTHS, Table

DAY = pd.Timedelta(days=1)
HOUR = pd.Timedelta(hours=1)
POWER = {"kind": "power", "levels": HUNDREDTHS, "lower": 0.0, "upper": 1.0}


def load_uw(root: Path) -> list[Table]:
    frame = pd.read_parquet(root / "uw-multimodel-t2m-2004/t2m.parquet")
    models = ("CMCG", "ETA", "GASP", "GFS", "JMA", "NGPS", "TCWB", "UKMO")
    frame = frame.rename(columns={"station_id": "site", "lead_hours": "lead", "obs": "observed"})
    frame["issue_time"] = frame["valid_time"] - 48 * HOUR
    frame["network"] = frame["station_type"].astype("category").cat.codes
    return [
        Table(
            "uw-multimodel-t2m-2004", "temperature", _ordered(frame), {m: (m,) for m in models},
            ("lat", "lon", "elev", "network"), pd.Timestamp("2004-01-22"), refit=3 * DAY,
        )
    ]  # fmt: skip


def load_pnw(root: Path) -> list[Table]:
    frame = pd.read_parquet(root / "pnw-t2m-2000/t2m.parquet")
    frame = frame.rename(columns={"station_id": "site", "lead_hours": "lead", "obs": "observed"})
    frame["issue_time"] = frame["valid_time"] - 48 * HOUR
    return [
        Table(
            "pnw-t2m-2000", "temperature", _ordered(frame), {"avn_mm5": ("fc_avn_mm5",)}, ("lat", "lon"),
            pd.Timestamp("2000-04-15"), refit=7 * DAY,
        )
    ]  # fmt: skip


def load_germany(root: Path) -> list[Table]:
    frame = pd.read_parquet(root / "ecmwf-ens-t2m-germany/t2m.parquet")
    frame = frame.rename(
        columns={"station_id": "site", "lead_hours": "lead", "obs": "observed", "init_time": "issue_time"}
    )
    frame = frame.dropna(subset=["HRES", "CTRL", "m01"])
    sources = {"HRES": ("HRES",), "CTRL": ("CTRL",), "ENS": tuple(f"m{k:02d}" for k in range(1, 51))}
    return [
        Table("ecmwf-ens-t2m-germany", "temperature", _ordered(frame), sources, ("lat", "lon"), pd.Timestamp("2008-01-01"))
    ]  # fmt: skip


def load_hannover(root: Path) -> list[Table]:
    frame = pd.read_parquet(root / "ecmwf-predictors-t2m-hannover/t2m.parquet")
    frame = frame.rename(columns={"station_id": "site", "valid_date": "valid_time", "obs": "observed"})
    frame["lead"] = 24
    frame["issue_time"] = frame["valid_time"] - DAY
    features = tuple(c for c in frame.columns if c.endswith(("_mean", "_sd")) and c != "t2m_mean")
    return [
        Table(
            "ecmwf-predictors-t2m-hannover", "temperature", _ordered(frame), {"ENS": ("t2m_mean",)}, features,
            pd.Timestamp("2017-07-01"), spread="t2m_sd",
        )
    ]  # fmt: skip


def load_seoul(root: Path) -> list[Table]:
    """Issued at the end of the present day (by its date), when its extremes are known; the next day's are known a day later."""
    frame = pd.read_parquet(root / "seoul-ldaps-tmax-tmin/daily.parquet").rename(columns={"station": "site"})
    frame["issue_time"] = frame["date"]
    frame["valid_time"] = frame["date"] + DAY
    frame["lead"] = 24
    ldaps = tuple(c for c in frame.columns if c.startswith("LDAPS"))
    features = (*ldaps, "Present_Tmax", "Present_Tmin", "lat", "lon", "DEM", "Slope", "solar_radiation")
    tables = []
    for target in ("Tmax", "Tmin"):
        source = f"LDAPS_{target}_lapse"
        tables.append(
            Table(
                f"seoul-ldaps-{target.lower()}", "temperature",
                _ordered(frame.assign(observed=frame[f"Next_{target}"]).dropna(subset=[source])),
                {"LDAPS": (source,)}, tuple(f for f in features if f != source), pd.Timestamp("2016-01-01"), refit=7 * DAY,
            )
        )  # fmt: skip
    return tables


def load_frankfurt(root: Path) -> list[Table]:
    """Daily sums over leads 6 to 30 h."""
    frame = pd.read_parquet(root / "ecmwf-ens-precip-frankfurt/precip24h.parquet").rename(columns={"obs": "observed"})
    frame = frame.assign(site="10637", issue_time=frame["date"] - 30 * HOUR, valid_time=frame["date"], lead=30)
    sources = {"HRES": ("HRES",), "CTR": ("CTR",), "ENS": tuple(f"P{k}" for k in range(1, 51))}
    return [
        Table("ecmwf-ens-precip-frankfurt", "precipitation", _ordered(frame), sources, (), pd.Timestamp("2012-01-01"), lower=0.0)
    ]  # fmt: skip


def load_innsbruck(root: Path) -> list[Table]:
    members = tuple(f"m{k:02d}" for k in range(1, 12))
    tables = []
    for file, title, kind, lead, start in (
        ("precip12h_18to30h", "precip12h", "precipitation", 30, "2010-01-01"),
        ("tmin_18to30h", "tmin", "temperature", 30, "2010-01-01"),
        ("precip_3day_days5to8", "precip3d", "precipitation", 192, "2008-01-01"),
    ):
        frame = pd.read_parquet(root / f"gefs-reforecast-innsbruck/{file}.parquet")
        frame = frame.rename(columns={"obs": "observed", "time": "valid_time"}).assign(site="11120", lead=lead)
        frame["issue_time"] = frame["valid_time"] - lead * HOUR
        lower = 0.0 if kind == "precipitation" else -np.inf
        tables.append(
            Table(
                f"gefs-reforecast-innsbruck-{title}",
                kind,
                _ordered(frame),
                {"GEFS": members},
                (),
                pd.Timestamp(start),
                lower=lower,
            )
        )
    return tables


def load_gefcom2014_wind(root: Path) -> list[Table]:
    """Issued at 00 UTC for the 24 hours that follow; ``power_now`` is the farm's power at the issue time."""
    frame = pd.read_parquet(root / "gefcom2014-wind/wind.parquet").rename(columns={"farm": "site", "power": "observed"})
    frame = _issued_daily(frame)
    for height in ("10", "100"):
        u, v = frame[f"u{height}"], frame[f"v{height}"]
        frame[f"speed{height}"], frame[f"direction{height}"] = np.hypot(u, v), np.degrees(np.arctan2(u, v))
    frame["power_now"] = _latest(frame, frame)
    features = ("u10", "v10", "u100", "v100", "speed10", "speed100", "direction10", "direction100", "power_now")
    return [
        Table(
            "gefcom2014-wind",
            frame=_ordered(frame),
            sources={},
            features=features,
            start=_at("2013-01-01 01:00"),
            **POWER,
        )
    ]


def load_gefcom2014_solar(root: Path) -> list[Table]:
    """As the wind; sums since the start of the day are cut into hourly amounts, and kept."""
    frame = pd.read_parquet(root / "gefcom2014-solar/solar.parquet").rename(
        columns={"farm": "site", "power": "observed"}
    )
    frame = _ordered(_issued_daily(frame))
    sums = ("ssrd", "strd", "tsr", "tp")
    for name in sums:
        hourly = frame.groupby(["site", "issue_time"])[f"{name}_acc"].diff()
        frame[name] = hourly.fillna(frame[f"{name}_acc"])
    features = ("tclw", "tciw", "sp", "r1000", "tcc", "u10", "v10", "t2m", *sums, *(f"{s}_acc" for s in sums))
    return [
        Table("gefcom2014-solar", frame=frame, sources={}, features=features, start=_at("2012-11-01 01:00"), **POWER)
    ]


def load_gefcom2012_wind(root: Path) -> list[Table]:
    """Runs of 48 h at 00 and 12 UTC; ``ws_older`` is what the run 12 h before said of the same hour."""
    frame = pd.read_parquet(root / "gefcom2012-wind/wind_forecasts.parquet")
    frame = frame.rename(columns={"farm": "site", "lead_hours": "lead"})
    frame["valid_time"] = frame["issue_time"] + pd.to_timedelta(frame["lead"], unit="h")
    power = pd.read_parquet(root / "gefcom2012-wind/power.parquet")
    power = power.rename(columns={"farm": "site", "time": "valid_time", "power": "observed"})
    frame = frame.merge(power, on=["site", "valid_time"], how="left")
    older = frame[["site", "issue_time", "valid_time", "ws"]].rename(columns={"ws": "ws_older"})
    frame = frame.merge(
        older.assign(issue_time=older["issue_time"] + 12 * HOUR), on=["site", "issue_time", "valid_time"], how="left"
    )
    frame["power_now"] = _latest(frame, power)
    issues = np.sort(frame["issue_time"].unique())
    start = pd.Timestamp(issues[int(0.6 * len(issues))])
    return [
        Table(
            "gefcom2012-wind", "power", _ordered(frame), {}, ("u", "v", "ws", "wd", "ws_older", "power_now"), start,
            lower=0.0, upper=1.0, lead_groups=((1, 12), (13, 24), (25, 36), (37, 48)), refit=60 * DAY,
        )
    ]  # fmt: skip


def load_airports(root: Path) -> list[Table]:
    """Issued about 08 UTC, when the day before has been over for two hours; times are the dates' 00 UTC, hence the delay of 22 h.

    A maximum is what the weather service says of the day, a minimum of the night before it.
    """
    folder = root / "us-airports-openmeteo-nws-2025"
    daily, nws = pd.read_parquet(folder / "open_meteo_daily.parquet"), pd.read_parquet(folder / "nws_periods.parquet")
    start = pd.to_datetime(nws["start_time_local"].str[:10])
    hour = nws["start_time_local"].str[11:13].astype(int)
    night = (~nws["is_daytime"] & (hour >= 12)).astype(int)
    nws = nws.assign(target_date=start + pd.to_timedelta(night, unit="D"))
    tables = []
    for name, by_day in (("tmax", True), ("tmin", False)):
        said = nws[nws["is_daytime"] == by_day].drop_duplicates(["station_id", "issue_date", "target_date"])
        said = said[["station_id", "issue_date", "target_date", "temperature_f"]].rename(
            columns={"temperature_f": "NWS"}
        )
        frame = daily.merge(said, on=["station_id", "issue_date", "target_date"], how="left")
        frame = frame.rename(columns={"station_id": "site", f"om_{name}_f": "OM", f"ref_{name}_f": "observed"})
        frame["lead"] = frame["lead_days"] * 24
        frame["issue_time"], frame["valid_time"] = frame["issue_date"], frame["target_date"]
        frame = frame[frame["lead_days"] < 15].astype({"NWS": float})
        tables.append(
            Table(
                f"us-airports-{name}", "temperature", _ordered(frame), {"OM": ("OM",), "NWS": ("NWS",)}, (),
                _at("2026-02-01"), refit=7 * DAY, lead_groups=((24, 24), (72, 72), (168, 168)),
                delay=22 * HOUR,
            )
        )  # fmt: skip
    return tables


LOADERS: dict[str, Callable[[Path], list[Table]]] = {
    "gefcom2014-wind": load_gefcom2014_wind,
    "uw-multimodel-t2m-2004": load_uw,
    "ecmwf-ens-t2m-germany": load_germany,
    "ecmwf-predictors-t2m-hannover": load_hannover,
    "pnw-t2m-2000": load_pnw,
    "seoul-ldaps-tmax-tmin": load_seoul,
    "gefcom2014-solar": load_gefcom2014_solar,
    "gefcom2012-wind": load_gefcom2012_wind,
    "ecmwf-ens-precip-frankfurt": load_frankfurt,
    "gefs-reforecast-innsbruck": load_innsbruck,
    "us-airports-openmeteo-nws-2025": load_airports,
}


def _at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.assign(site=frame["site"].astype(str))
    for column in ("issue_time", "valid_time"):
        frame[column] = frame[column].astype("datetime64[s]")
    return frame.sort_values(["issue_time", "valid_time", "site"], ignore_index=True)


def _issued_daily(frame: pd.DataFrame) -> pd.DataFrame:
    issue = (frame["valid_time"] - HOUR).dt.floor("D")
    return frame.assign(issue_time=issue, lead=((frame["valid_time"] - issue) / HOUR).astype(int))


def _latest(frame: pd.DataFrame, power: pd.DataFrame) -> np.ndarray:
    """Power at the issue time, NaN where it is missing."""
    at = power.drop_duplicates(["site", "valid_time"]).set_index(["site", "valid_time"])["observed"]
    return at.reindex(pd.MultiIndex.from_arrays([frame["site"], frame["issue_time"]])).to_numpy()
