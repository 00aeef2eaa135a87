"""Asks our server with the newest of Open-Meteo's clients for Python, plain and asynchronous; prints what it understood."""

import asyncio
import json
import sys

import niquests
import openmeteo_requests

url, key, parameters = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
headers = {"Authorization": f"Bearer {key}"}


def block(found):
    if found is None:
        return None
    columns = [found.Variables(k).ValuesAsNumpy().tolist() for k in range(found.VariablesLength())]
    values = [[None if value != value else value for value in column] for column in columns]
    return {"time": found.Time(), "timeEnd": found.TimeEnd(), "interval": found.Interval(), "values": values}


def place(found):
    return {
        "latitude": found.Latitude(), "longitude": found.Longitude(), "timezone": found.Timezone().decode(),
        "offset": found.UtcOffsetSeconds(), "hourly": block(found.Hourly()), "daily": block(found.Daily()),
    }  # fmt: skip


async def ask_asynchronously():
    async with niquests.AsyncSession() as session:
        client = openmeteo_requests.AsyncClient(session)
        return [place(found) for found in await client.weather_api(url, params=parameters, headers=headers)]


try:
    with niquests.Session() as session:
        client = openmeteo_requests.Client(session)
        answer = [place(found) for found in client.weather_api(url, params=parameters, headers=headers)]
    assert asyncio.run(ask_asynchronously()) == answer
except openmeteo_requests.OpenMeteoRequestsError as error:
    answer = {"error": str(error)}
print(json.dumps(answer))
