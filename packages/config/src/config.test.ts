import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { resolveConfig } from "./index.ts";

test("config: a flag wins over the environment, the environment over the default", () => {
  const env = { BERTH_ROOT: "/env/data", BERTH_RUN_ROOT: "/env/run", BERTH_REGISTRIES_CONF: "/env/r.conf" };
  const config = resolveConfig({ root: "/flag/data" }, env);
  assert.deepEqual(config, {
    root: "/flag/data",
    runRoot: "/env/run",
    keelPath: "/usr/lib/berth/keel",
    snapshotter: "auto",
    registriesConf: "/env/r.conf",
    maxLayerBytes: 64 * 1024 ** 3,
    maxLayerEntries: 1_000_000,
    maxLayerRatio: 200,
  });
});

test("config: a snapshotter that there is not is refused with those that there are", () => {
  assert.equal(resolveConfig({}, { BERTH_SNAPSHOTTER: "native" }).snapshotter, "native");
  assert.equal(resolveConfig({ snapshotter: "overlayfs" }, { BERTH_SNAPSHOTTER: "zfs" }).snapshotter, "overlayfs");
  assert.throws(
    () => resolveConfig({}, { BERTH_SNAPSHOTTER: "zfs" }),
    (e) => isCode(e, "InvalidArgument") && /use snapshotter zfs: there is none/.test(e.message),
  );
});

test("config: paths are absolute, and an empty variable counts as none", () => {
  const config = resolveConfig({ root: "data" }, { BERTH_RUN_ROOT: "" });
  assert.equal(config.root, `${process.cwd()}/data`);
  assert.ok(config.runRoot.endsWith("/berth"));
});
