// Drains no-op jobs with pg-boss: as many loops as asked for fetch a batch and complete it. Its own workers wait half a
// second at least between batches, so they are left out.
// node pg-boss.js drain JOBS BATCH LOOPS; DATABASE_URL names an empty database.
import PgBoss from "pg-boss";

const [jobs, batchSize, loops] = process.argv.slice(3).map(Number);
const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, max: 12 });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("noop");
for (let n = 0; n < jobs; n += 5000) {
  await boss.insert(Array.from({ length: Math.min(5000, jobs - n) }, (_, i) => ({ name: "noop", data: { n: n + i } })));
}
const begun = performance.now();
let done = 0;
const loop = async () => {
  while (done < jobs) {
    const batch = await boss.fetch("noop", { batchSize });
    if (batch.length === 0) { await new Promise((resolve) => setTimeout(resolve, 1)); continue; }
    await boss.complete("noop", batch.map((job) => job.id));
    done += batch.length;
  }
};
await Promise.all(Array.from({ length: loops }, loop));
console.log(Math.round((jobs * 1000) / (performance.now() - begun)));
await boss.stop({ graceful: false });
process.exit(0);
