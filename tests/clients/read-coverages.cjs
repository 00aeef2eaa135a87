// Reads CoverageJSON from standard input with an independent reader; prints what it understood as JSON.
const { read } = require("covjson-reader");

async function series(coverage) {
  const domain = await coverage.loadDomain();
  const ranges = await coverage.loadRanges([...coverage.parameters.keys()]);
  const times = domain.axes.get("t") || domain.axes.get("composite");
  const found = { profile: domain.domainType, axes: [...domain.axes.keys()], times: times.values, values: {}, units: {} };
  for (const [name, range] of ranges) {
    const axis = range.shape.keys().next().value;
    found.values[name] = times.values.map((_, k) => range.get({ [axis]: k }));
    found.units[name] = coverage.parameters.get(name).unit.symbol.value;
  }
  return found;
}

let text = "";
process.stdin.on("data", (part) => (text += part));
process.stdin.on("end", async () => {
  const found = await read(JSON.parse(text));
  const coverages = found.coverages || [found];
  console.log(JSON.stringify(await Promise.all(coverages.map(series))));
});
