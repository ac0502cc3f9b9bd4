// graphile-worker (Node) at its best, as its page on performance has it: a local queue of 500, and completed jobs in
// batches. It keeps no history. It speaks as the sides in Python do (see ../side.py and ../ledger.py).

"use strict";

const fs = require("node:fs");
const { makeWorkerUtils, run, Logger } = require("graphile-worker");

const WARM = 50;
const CONCURRENCY = 24;
const LOCAL_QUEUE = 500;
const CHUNK = 10_000;
const FLUSH_EVERY = 100;
const FLUSH_MILLISECONDS = 2;
const BYTES_OF_MOMENT = 8;
const PATIENCE_SECONDS = 20;

const quiet = new Logger(() => () => {});
const say = (answer) => fs.writeSync(1, JSON.stringify(answer) + "\n");
const seconds = () => Number(process.hrtime.bigint()) / 1e9;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The ledger: Node cannot map a file, so that it writes runs a few at a time. */
class Ledger {
  constructor(order) {
    this.file = fs.openSync(order.ledger, "r+");
    this.rowAt = order.place * order.count;
    this.row = Buffer.alloc(order.count);
    this.left = order.count;
    this.calledAt = 2 * order.processes * order.count;
    this.ranAt = this.calledAt + BYTES_OF_MOMENT * order.count;
    this.moment = Buffer.alloc(BYTES_OF_MOMENT);
  }

  run(number) {
    this.row[number] = Math.min(this.row[number] + 1, 255);
    this.left -= 1;
    if (this.left <= 0 || this.left % FLUSH_EVERY === 0) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
  }

  hear(number) {
    this.note(this.ranAt, number);
    this.row[number] += 1;
    this.flush();
  }

  call(number) {
    this.note(this.calledAt, number);
  }

  note(at, number) {
    this.moment.writeDoubleLE(seconds());
    fs.writeSync(this.file, this.moment, 0, BYTES_OF_MOMENT, at + BYTES_OF_MOMENT * number);
  }

  async waitFor(number) {
    const giveUpAt = seconds() + PATIENCE_SECONDS;
    for (;;) {
      fs.readSync(this.file, this.moment, 0, BYTES_OF_MOMENT, this.ranAt + BYTES_OF_MOMENT * number);
      if (this.moment.readDoubleLE()) return;
      if (seconds() > giveUpAt) throw new Error(`command ${number} was not picked up`);
      await pause(0.5);
    }
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = undefined;
    fs.writeSync(this.file, this.row, 0, this.row.length, this.rowAt);
  }
}

const utils = (order) => makeWorkerUtils({ connectionString: order.url, logger: quiet });

const verbs = {
  async install(order) {
    await (await utils(order)).migrate();
  },

  async enqueue(order) {
    const { addJob } = await utils(order);
    for (let n = 0; n < WARM; n++) await addJob("noop", { n });
    const startedAt = seconds();
    for (let n = WARM; n < WARM + order.count; n++) await addJob("noop", { n });
    return seconds() - startedAt;
  },

  async load(order) {
    const { addJobs } = await utils(order);
    const startedAt = seconds();
    for (let first = 0; first < order.count; first += CHUNK) {
      const length = Math.min(CHUNK, order.count - first);
      await addJobs(Array.from({ length }, (_, index) => ({ identifier: "noop", payload: { n: first + index } })));
    }
    return seconds() - startedAt;
  },

  async work(order) {
    const ledger = new Ledger(order);
    const noop = order.settings.latency ? ({ n }) => ledger.hear(n) : ({ n }) => ledger.run(n);
    say("ready");
    fs.readSync(0, Buffer.alloc(8));
    const runner = await run({
      connectionString: order.url,
      logger: quiet,
      noHandleSignals: true,
      taskList: { noop },
      preset: {
        worker: {
          concurrentJobs: CONCURRENCY,
          maxPoolSize: CONCURRENCY + 1,
          // A lone job is not to wait for others.
          localQueue: { size: order.settings.latency ? -1 : LOCAL_QUEUE },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
    await runner.promise;
  },

  async pings(order) {
    const { addJob } = await utils(order);
    const ledger = new Ledger(order);
    for (let n = 0; n < order.count; n++) {
      await pause(10 + 20 * Math.random());
      ledger.call(n);
      await addJob("noop", { n });
      await ledger.waitFor(n);
    }
  },
};

const [verb, document] = process.argv.slice(2);
verbs[verb](JSON.parse(document)).then(
  (answer) => {
    say(answer ?? null);
    process.exit(0);
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
