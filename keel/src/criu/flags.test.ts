import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseArgs } from "../lib/args.ts";
import { CHECKPOINT_FLAGS, emptyNamespaces, parsePageServer, passedThrough, RESTORE_FLAGS } from "./flags.ts";

test("flags: those of runc and crun are options of CRIU; the cgroup mode is soft unless told", () => {
  const words = ["--tcp-established", "--ext-unix-sk", "--file-locks", "--network-lock", "nftables", "id"];
  assert.deepEqual(passedThrough(parseArgs(words, CHECKPOINT_FLAGS)), {
    manageCgroups: 3,
    networkLock: 2,
    tcpEstablished: true,
    extUnixSk: true,
    fileLocks: true,
  });
  const restored = parseArgs(
    ["--tcp-close", "--lsm-profile=apparmor:x", "--manage-cgroups-mode", "full"],
    RESTORE_FLAGS,
  );
  assert.deepEqual(passedThrough(restored), { manageCgroups: 4, tcpClose: true, lsmProfile: "apparmor:x" });
});

test("flags: words that CRIU does not have are refused, with those that it has", () => {
  const mode = parseArgs(["--manage-cgroups-mode", "constructor"], CHECKPOINT_FLAGS);
  assert.throws(() => passedThrough(mode), { message: /must be one of ignore, soft, full, strict, is "constructor"/ });
  assert.throws(() => emptyNamespaces(parseArgs(["--empty-ns", "pid"], CHECKPOINT_FLAGS)), { code: "InvalidArgument" });
});

test("flags: a page server is an address and a port", () => {
  assert.deepEqual(parsePageServer("[::1]:27"), { address: "::1", port: 27 });
  for (const bad of ["27", ":27", "host:", "host:x"]) {
    assert.throws(() => parsePageServer(bad), { code: "InvalidArgument" });
  }
});
