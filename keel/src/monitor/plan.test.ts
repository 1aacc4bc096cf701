import assert from "node:assert/strict";
import { test } from "node:test";
import type { MonitorConfig } from "@berth/protocol";
import { setupSteps, undoSteps } from "./plan.ts";

const config = {
  mounts: [
    { type: "overlay", source: "overlay", target: "/a", options: ["lowerdir=/l"] },
    { type: "bind", source: "/s", target: "/a/b", options: ["rbind"] },
  ],
  netnsPath: "/run/netns/c",
} as unknown as MonitorConfig;

test("plan: undo is the reverse of what was done, and after an exit leaves the namespace", () => {
  assert.deepEqual(
    setupSteps(config).map((step) => step.op),
    ["mount", "mount", "netns-add"],
  );
  assert.deepEqual(undoSteps(config, 3, false), [
    { op: "netns-remove", path: "/run/netns/c" },
    { op: "umount", target: "/a/b" },
    { op: "umount", target: "/a" },
  ]);
  assert.deepEqual(undoSteps(config, 3, true), undoSteps(config, 2, false));
  assert.deepEqual(undoSteps(config, 1, false), [{ op: "umount", target: "/a" }]);
  assert.deepEqual(undoSteps(config, 0, false), []);
});
