// Drains no-op jobs with graphile-worker, or measures how soon one starts on an idle queue.
// node graphile-worker.js drain|latency JOBS SLOTS [BATCH_DELAY_MS]; DATABASE_URL names an empty database.
import { makeWorkerUtils, run } from "graphile-worker";

const [what, jobs, slots, batchDelay] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const connectionString = process.env.DATABASE_URL;
const logger = { scope: () => logger, error: console.error, warn() {}, info() {}, debug() {} };

const started = [];
const answer = (payload) => {
  started[payload.n] = performance.now();
};

const utils = await makeWorkerUtils({ connectionString, logger });
await utils.migrate();
const worker = {
  connectionString, logger, concurrentJobs: slots, pollInterval: 1000, maxPoolSize: 12,
  // What it recommends for high loads: jobs fetched ahead, and with a delay also completed together.
  ...(what === "drain" && { localQueue: { size: slots * 5 } }),
  ...(batchDelay >= 0 && { completeJobBatchDelay: batchDelay, failJobBatchDelay: batchDelay }),
};
const begin = () => run({ taskList: { noop: answer }, noHandleSignals: true, preset: { worker } });
const pending = () => utils.withPgClient(async (client) =>
  Number((await client.query("SELECT count(*) FROM graphile_worker._private_jobs")).rows[0].count));

if (what === "drain") {
  await utils.withPgClient((client) => client.query(
    "SELECT count(graphile_worker.add_job('noop', json_build_object('n', n))) FROM generate_series(0, $1 - 1) n", [jobs]));
  const begun = performance.now();
  await begin();
  while ((await pending()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  console.log(Math.round((jobs * 1000) / (performance.now() - begun)));
} else {
  await begin();
  const took = [];
  for (let n = 0; n < jobs; n += 1) {
    await utils.addJob("noop", { n });
    const rung = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    while (started[n] === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    took.push(Math.max(0, started[n] - rung));
  }
  took.sort((a, b) => a - b);
  console.log(took[Math.floor((jobs - 1) * 0.5)].toFixed(2), took[Math.floor((jobs - 1) * 0.99)].toFixed(2));
}
process.exit(0);
