import assert from "node:assert/strict";
import { test } from "node:test";
import { CANNOT_RUN, runtimeFailure } from "./failure.ts";

const FAILED = 256;

test("failure: the runtime's last error in its log is the message, whatever else is there", () => {
  const log =
    '{"level":"warning","msg":"w"}\n{"level":"error","msg":"first"}\n{"level":"error","msg":"second"}\n{"level":"info","msg":"i"}\n{"level":"err';
  assert.deepEqual(runtimeFailure("create", log, "on stderr\n", FAILED), {
    code: "FailedPrecondition",
    message: "second",
  });
});

test("failure: a runtime that logs nothing is heard on stderr, a silent one is named by its end", () => {
  assert.equal(runtimeFailure("create", "", "boom\n\n", FAILED).message, "boom");
  assert.equal(
    runtimeFailure("create", "", "", FAILED).message,
    "create container: the runtime exited with 1 and said nothing",
  );
  assert.equal(
    runtimeFailure("start", "", "", 9).message,
    "start container: the runtime was ended by signal 9 and said nothing",
  );
});

test("failure: code and hint that keel logs are kept", () => {
  const log = '{"level":"error","msg":"m","code":"ResourceExhausted","hint":"h","errno":"ENOSPC","step":"s"}';
  assert.deepEqual(runtimeFailure("create", log, "", FAILED), {
    code: "ResourceExhausted",
    message: "m",
    hint: "h",
    errno: "ENOSPC",
    step: "s",
  });
  assert.equal(
    runtimeFailure("create", '{"level":"error","msg":"m","code":"Nonsense"}', "", FAILED).code,
    "FailedPrecondition",
  );
});

test("failure: texts of runc and crun about the command become NotFound and PermissionDenied, others do not", () => {
  const table: readonly [string, string][] = [
    ['unable to start container process: exec: "nope": executable file not found in $PATH', "NotFound"],
    ['starting container process caused: exec: "/nope": stat /nope: no such file or directory', "NotFound"],
    ["executable file `nope` not found in $PATH: No such file or directory", "NotFound"],
    ['exec: "/etc/passwd": permission denied', "PermissionDenied"],
    ["exec /x: exec format error", "PermissionDenied"],
    ['error mounting "/nope" to rootfs at "/mnt": stat /nope: no such file or directory', "FailedPrecondition"],
    ["error setting rlimit type 7: operation not permitted", "FailedPrecondition"],
    [`${CANNOT_RUN}/no/runc: no such file or directory`, "FailedPrecondition"],
  ];
  for (const [message, code] of table) assert.equal(runtimeFailure("create", "", message, FAILED).code, code, message);
});
