import { createNullMetrics, silentLogger, systemClock } from "@wherry/service-kit";
import { datastoreConfig } from "../config.ts";
import { createDatastore } from "../datastore.ts";

/**
 * The process that `crash.test.ts` kills: several writers put their next number under their own key, and print each revision once it is
 * acknowledged, with what was written.
 */
const WRITERS = 16;

const [, , file = ""] = process.argv;
const datastore = createDatastore(datastoreConfig.parse({ endpoint: `sqlite://${file}` }), {
  clock: systemClock,
  log: silentLogger,
  metrics: createNullMetrics(),
});
await datastore.start(new AbortController().signal);

await Promise.all(
  Array.from({ length: WRITERS }, async (_, writer) => {
    for (let number = 0; ; number += 1) {
      const key = `writer-${writer}`;
      const { header } = await datastore.store.put({
        key: Buffer.from(key),
        value: Buffer.from(String(number)),
      });
      process.stdout.write(`${header.revision} ${key} ${number}\n`);
    }
  }),
);
