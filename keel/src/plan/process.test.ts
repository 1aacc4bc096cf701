import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { CAP_SYS_ADMIN, hasCap } from "../spec/capabilities.ts";
import { planProcess } from "./process.ts";

const base = { args: ["x"], cwd: "/" };

test("process plan: the last of duplicate variables wins and an empty HOME counts as missing", () => {
  const plan = planProcess({ ...base, env: ["A=1", "HOME=", "A=2", "B=x"] }, undefined);
  assert.deepEqual(plan.env, ["A=2", "B=x"]);
  assert.equal(plan.needsHome, true);
  assert.equal(planProcess({ ...base, env: ["HOME=/h"] }, undefined).needsHome, false);
});

test("process plan: CAP_SYS_ADMIN is kept for loading a filter only without no_new_privs, never in bounding or inheritable", () => {
  const capabilities = { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] };
  const seccomp = { defaultAction: "SCMP_ACT_ALLOW" };
  const without = planProcess({ ...base, capabilities }, seccomp).caps;
  assert.ok(without && hasCap(without.permitted, CAP_SYS_ADMIN));
  assert.ok(!hasCap(without.bounding, CAP_SYS_ADMIN) && !hasCap(without.inheritable, CAP_SYS_ADMIN));
  const withNnp = planProcess({ ...base, capabilities, noNewPrivileges: true }, seccomp).caps;
  assert.ok(withNnp && !hasCap(withNnp.permitted, CAP_SYS_ADMIN));
});

test("process plan: ambient is cut to what is permitted and inheritable", () => {
  const caps = planProcess(
    {
      ...base,
      capabilities: {
        permitted: ["CAP_KILL", "CAP_CHOWN"],
        inheritable: ["CAP_KILL"],
        ambient: ["CAP_KILL", "CAP_CHOWN"],
      },
    },
    undefined,
  ).caps;
  assert.deepEqual(caps?.ambient, { lo: 1 << 5, hi: 0 });
});
