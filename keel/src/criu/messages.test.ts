import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { DUMP, decodeAnswer, encodeNotified, encodeRequest, NOTIFY } from "./messages.ts";
import { decodeMessage, encodeMessage, lastField } from "./wire.ts";

test("messages: a request holds its type and the options that are set", () => {
  const bytes = encodeRequest(DUMP, {
    imagesDir: 7,
    logFile: "dump.log",
    root: "/r",
    pid: 42,
    manageCgroups: 3,
    leaveRunning: true,
    mounts: [
      ["/data", "/data"],
      ["/x", "/y"],
    ],
    external: ["net[5]:extRootNetNS"],
    inherit: [["pipe:[9]", 1]],
    pageServer: { address: "::1", port: 27 },
  });
  const fields = decodeMessage(bytes, 0, bytes.length);
  assert.equal(lastField(fields, 1)?.value, DUMP);
  const options = lastField(fields, 2);
  const inside = decodeMessage(bytes, options?.start ?? 0, options?.end ?? 0);
  const numbers = (tag: number): number[] => inside.filter((field) => field.tag === tag).map(({ value }) => value);
  assert.deepEqual([1, 2, 3, 4, 9, 12, 34, 50].map(numbers), [[7], [42], [1], [], [4], [1], [3], [1]]);
  const texts = inside
    .filter(({ tag }) => [10, 13, 37].includes(tag))
    .map(({ start, end }) => Buffer.from(bytes.subarray(start, end)).toString());
  assert.deepEqual(texts, ["dump.log", "/r", "net[5]:extRootNetNS"]);
  assert.equal(inside.filter(({ tag }) => tag === 23).length, 2);
  const inherit = lastField(inside, 27);
  const pair = decodeMessage(bytes, inherit?.start ?? 0, inherit?.end ?? 0);
  assert.equal(lastField(pair, 2)?.value, 1);
});

test("messages: answers are read: a notification, a restored pid, a failure with its reason", () => {
  const notification = decodeAnswer(
    encodeMessage([
      [1, NOTIFY],
      [2, true],
      [
        5,
        [
          [1, "setup-namespaces"],
          [2, 77],
        ],
      ],
    ]),
  );
  assert.deepEqual(
    [notification.type, notification.success, notification.script, notification.pid],
    [NOTIFY, true, "setup-namespaces", 77],
  );
  assert.equal(
    decodeAnswer(
      encodeMessage([
        [1, 2],
        [2, true],
        [4, [[1, 4321]]],
      ]),
    ).pid,
    4321,
  );
  const failed = decodeAnswer(
    encodeMessage([
      [1, 1],
      [2, false],
      [7, 22],
      [9, "no such thing"],
    ]),
  );
  assert.deepEqual([failed.success, failed.errno, failed.message], [false, 22, "no such thing"]);
  assert.equal(decodeAnswer(encodeNotified()).type, NOTIFY);
});
