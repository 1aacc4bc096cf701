import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError, isCode } from "@berth/base";
import type { ContainerSpec } from "@berth/engine";
import { parseFlags } from "../parse.ts";
import { CONTAINER_FLAGS, type ContainerFlags } from "./flags.ts";
import { parsePorts } from "./ports.ts";
import { buildSpec } from "./spec.ts";

const FILES: Readonly<Record<string, string>> = {
  "env.list": "# comment\n  A=1\nB\n\nMISSING\nC=x # kept\n",
  "bad.list": "no name=1\n",
  labels: "l1=v1\nl2\n",
  "profile.json": '{"defaultAction":"SCMP_ACT_ALLOW"}',
  "broken.json": "{",
};

function spec(...argv: readonly string[]): ContainerSpec {
  const parsed = parseFlags(argv, { name: "run", flags: CONTAINER_FLAGS, stopAtArgument: true });
  const readFile = (path: string): string => {
    const text = FILES[path];
    if (text === undefined) throw new BerthError("NotFound", `open ${path}: ENOENT`);
    return text;
  };
  const around = { env: { B: "from shell", HOME: "/root" }, cwd: "/here", readFile };
  return buildSpec(parsed.args, parsed.flags as ContainerFlags, around, true);
}

test("spec: flags end at the image, the rest is the command", () => {
  const made = spec("--rm", "-it", "--name=n", "img:1", "ls", "-l", "--rm", "--", "-x");
  assert.equal(made.image, "img:1");
  assert.deepEqual(made.command, ["ls", "-l", "--rm", "--", "-x"]);
  assert.deepEqual(
    [made.name, made.terminal, made.stdin, made.stdinOnce, made.autoRemove],
    ["n", true, true, true, true],
  );
});

test("spec: without flags everything is docker's default", () => {
  const made = spec("img");
  assert.deepEqual(made.security, {
    noNewPrivileges: false,
    seccomp: "default",
    apparmor: undefined,
    systemPathsUnconfined: false,
  });
  assert.equal(made.network, "bridge");
  assert.equal(made.entrypoint, undefined);
  assert.deepEqual([made.env, made.mounts, made.ports, made.labels, made.command], [[], [], [], {}, []]);
  assert.ok(Object.values(made.resources).every((value) => value === undefined));
});

test("spec: environment from files first, then flags, bare names from this process", () => {
  assert.deepEqual(spec("-eA=2", "-e", "HOME", "-e=D=a=b", "--env-file", "env.list", "-e", "NOPE", "i").env, [
    "A=1",
    "B=from shell",
    "C=x # kept",
    "A=2",
    "HOME=/root",
    "D=a=b",
  ]);
  assert.deepEqual(spec("-l", "a=b=c", "--label", "bare", "--label-file", "labels", "i").labels, {
    l1: "v1",
    l2: "",
    a: "b=c",
    bare: "",
  });
  assert.equal(Object.getPrototypeOf(spec("-l", "__proto__=x", "i").labels), Object.prototype);
});

test("spec: volumes and mounts", () => {
  const bind = { kind: "bind", target: "/c", readOnly: false, propagation: undefined, createSource: true } as const;
  const volume = { kind: "volume", target: "/c", readOnly: false, noCopy: false } as const;
  const table: readonly (readonly [readonly string[], unknown])[] = [
    [["-v", "/h:/c"], { ...bind, source: "/h" }],
    [["-v", "./h/../k:/c/:ro,rslave"], { ...bind, source: "/here/k", readOnly: true, propagation: "rslave" }],
    [["-v", "/h:/c:Z"], { ...bind, source: "/h" }],
    [["-v", "data:/c:nocopy"], { ...volume, source: "data", noCopy: true }],
    [["-v", "/c"], { ...volume, source: undefined }],
    [
      ["--mount", "type=bind,src=/h,dst=/c,ro"],
      { ...bind, source: "/h", readOnly: true, createSource: false, nonRecursive: false },
    ],
    [["--mount", "source=data,target=/c,readonly=false"], { ...volume, source: "data" }],
    [["--mount", "target=/c"], { ...volume, source: undefined }],
    [
      ["--mount", 'type=bind,"source=/a,b",target=/c'],
      { ...bind, source: "/a,b", createSource: false, nonRecursive: false },
    ],
    [
      ["--mount", "type=tmpfs,target=/c,tmpfs-size=1m,tmpfs-mode=1777"],
      { kind: "tmpfs", target: "/c", options: ["size=1048576", "mode=1777"] },
    ],
    [["--tmpfs", "/c:rw,size=1m"], { kind: "tmpfs", target: "/c", options: ["rw", "size=1m"] }],
    [["--tmpfs", "/c"], { kind: "tmpfs", target: "/c", options: [] }],
  ];
  for (const [argv, mount] of table) assert.deepEqual(spec(...argv, "i").mounts, [mount], argv.join(" "));
});

test("ports: addresses, ranges and protocols as docker reads them", () => {
  const port = (hostIp: string, hostPort: number, containerPort: number, protocol = "tcp") => ({
    hostIp,
    hostPort,
    containerPort,
    protocol,
  });
  const table: readonly (readonly [string, readonly unknown[]])[] = [
    ["80", [port("", 0, 80)]],
    ["8080:80", [port("", 8080, 80)]],
    [":80", [port("", 0, 80)]],
    ["8080:80/udp", [port("", 8080, 80, "udp")]],
    ["127.0.0.1:8080:80", [port("127.0.0.1", 8080, 80)]],
    ["127.0.0.1::80", [port("127.0.0.1", 0, 80)]],
    ["[::1]:8080:80", [port("::1", 8080, 80)]],
    ["8000-8001:80-81", [port("", 8000, 80), port("", 8001, 81)]],
  ];
  for (const [text, ports] of table) assert.deepEqual(parsePorts([text]), ports, text);
});

test("spec: limits, devices, security", () => {
  const made = spec(
    "-m",
    "64m",
    "--memory-swap=-1",
    "--cpus",
    "1.5",
    "-c",
    "512",
    "--pids-limit=-1",
    "--shm-size",
    "1g",
    "--ulimit",
    "nofile=10:20",
    "i",
  );
  assert.equal(made.resources.memoryBytes, 64 * 1024 * 1024);
  assert.deepEqual(
    [made.resources.memorySwapBytes, made.resources.cpus, made.resources.cpuShares, made.resources.pidsLimit],
    [-1, 1.5, 512, -1],
  );
  assert.deepEqual(made.ulimits, [{ name: "nofile", soft: 10, hard: 20 }]);
  assert.deepEqual(spec("--device", "/dev/a", "--device", "/dev/a:/dev/b:r", "--device=/dev/a:rw", "i").devices, [
    { hostPath: "/dev/a", containerPath: "/dev/a", access: "rwm" },
    { hostPath: "/dev/a", containerPath: "/dev/b", access: "r" },
    { hostPath: "/dev/a", containerPath: "/dev/a", access: "rw" },
  ]);
  const safe = spec(
    "--security-opt",
    "no-new-privileges",
    "--security-opt=seccomp=profile.json",
    "--security-opt",
    "apparmor:unconfined",
    "i",
  ).security;
  assert.deepEqual(safe, {
    noNewPrivileges: true,
    seccomp: FILES["profile.json"],
    apparmor: "unconfined",
    systemPathsUnconfined: false,
  });
  assert.deepEqual(spec("--entrypoint", "", "i").entrypoint, []);
  assert.deepEqual(spec("--entrypoint", "sh", "--add-host", "a:::1", "--add-host=b=[::1]", "i").addHosts, [
    "a:::1",
    "b:::1",
  ]);
});

test("spec: what cannot be meant is refused as InvalidArgument", () => {
  const table: readonly (readonly string[])[] = [
    ["-v", "a:b:c:d"],
    ["-v", "/h:relative"],
    ["-v", "/h:/"],
    ["-v", "/h:/c:bad"],
    ["-v", "-bad:/c"],
    ["-v", "data:/c:rshared"],
    ["--mount", "type=foo,target=/c"],
    ["--mount", "type=bind,target=/c"],
    ["--mount", "type=bind,source=/h"],
    ["--mount", "type=tmpfs,target=/c,source=/h"],
    ["--mount", "nonsense"],
    ["--mount", '"open,target=/c'],
    ["-p", "99999:80"],
    ["-p", "0:80"],
    ["-p", "x:80"],
    ["-p", "80/icmp"],
    ["-p", "8000-8005:80-81"],
    ["-p", "256.1.1.1:80:80"],
    ["-m", "1k"],
    ["--memory", "lots"],
    ["--memory-swap", "1g"],
    ["-m", "64m", "--memory-swap", "32m"],
    ["--ulimit", "nofile"],
    ["--ulimit", "bogus=1"],
    ["--ulimit", "nofile=3:2"],
    ["--device", "sda"],
    ["--device", "/dev/a:/dev/b:x"],
    ["--security-opt", "magic"],
    ["--security-opt", "seccomp=broken.json"],
    ["--network", "nosuch"],
    ["--env-file", "bad.list"],
    ["-e", "=x"],
    ["-w", "relative"],
    ["-h", "under_score!"],
    ["--add-host", "name"],
    ["--sysctl", "name"],
    ["--oom-score-adj", "2000"],
    ["--pull", "often"],
    ["--cpus", "-1"],
    ["--pids-limit", "1.5"],
    ["--tty=maybe"],
  ];
  for (const argv of table) {
    assert.throws(
      () => spec(...argv, "img"),
      (e) => isCode(e, "InvalidArgument"),
      argv.join(" "),
    );
  }
  assert.throws(
    () => spec("--env-file", "nosuch", "img"),
    (e) => isCode(e, "NotFound"),
  );
});
