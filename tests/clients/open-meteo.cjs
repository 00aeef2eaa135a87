// Asks our server with Open-Meteo's own client; prints what it understood as JSON.
const { fetchWeatherApi } = require("openmeteo");

const [url, key, parameters] = process.argv.slice(2);

fetchWeatherApi(url, JSON.parse(parameters), 1, 0, 0, { headers: { Authorization: `Bearer ${key}` } })
  .then((responses) => {
    const block = (found) =>
      found && {
        time: Number(found.time()),
        timeEnd: Number(found.timeEnd()),
        interval: found.interval(),
        values: [...Array(found.variablesLength()).keys()].map((k) => Array.from(found.variables(k).valuesArray())),
      };
    const places = responses.map((place) => ({
      latitude: place.latitude(),
      longitude: place.longitude(),
      timezone: place.timezone(),
      offset: place.utcOffsetSeconds(),
      hourly: block(place.hourly()),
      daily: block(place.daily()),
    }));
    console.log(JSON.stringify(places));
  })
  .catch((error) => console.log(JSON.stringify({ error: error.message })));
