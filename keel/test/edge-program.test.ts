/** Corner cases that runtimes get wrong, by their number (docs/security-tests.md): the program, its hooks and descriptors. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  alive,
  bundle,
  inUserNamespace,
  KEEL,
  keel,
  keelDetached,
  type Loose,
  run,
  sh,
  skip,
  sleeping,
  state,
  stateDir,
  until,
} from "./harness.ts";

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

t("edge 13: tmpcopyup copies what it hides with owners, modes and links; a tmpfs has the mode of what it hides", () => {
  const made = bundle(
    [
      "sh",
      "-c",
      "cd /data; stat -c '%n %a %u %F' . * | sort; readlink link; cat file; stat -c %a /plain; touch /data/x",
    ],
    (s) => {
      s.mounts.push({ destination: "/data", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "ro"] });
      s.mounts.push({ destination: "/plain", type: "tmpfs", source: "tmpfs" });
    },
  );
  const data = join(made.rootfs, "data");
  mkdirSync(join(data, "sub"), { recursive: true });
  writeFileSync(join(data, "file"), "content\n");
  chmodSync(join(data, "file"), 0o604);
  chownSync(join(data, "file"), 1000, 1000);
  symlinkSync("/nowhere", join(data, "link"));
  chmodSync(data, 0o751);
  mkdirSync(join(made.rootfs, "plain"));
  chmodSync(join(made.rootfs, "plain"), 0o1733);
  const ran = run(made);
  assert.equal(
    ran.out,
    ". 751 0 directory\nfile 604 1000 regular file\nlink 777 0 symbolic link\nsub 755 0 directory\n/nowhere\ncontent\n1733\n",
    ran.err,
  );
  assert.match(ran.err, /\/data\/x: Read-only file system/);
});

t("edge 13: a read-only /dev holds the devices and the terminal all the same", () => {
  const made = bundle(["sh", "-c", "tty; echo x >/dev/null; touch /dev/x"], (s) => {
    s.process.terminal = true;
    for (const mount of s.mounts) if (mount.destination === "/dev") mount.options.push("ro");
  });
  assert.match(run(made).out, /^\/dev\/(console|pts\/0)\ntouch: \/dev\/x: Read-only file system\n$/);
});

t("edge 14: a terminal is the user's and controls the session; exec gets one of the container's devpts", () => {
  const script = "stat -c %u $(tty); echo hi >/dev/tty; tty; grep -c ' /dev/console ' /proc/mounts";
  const user = (s: Loose): void => {
    s.process.terminal = true;
    s.process.user = { uid: 1000, gid: 1000 };
  };
  const made = bundle(["sh", "-c", script], user);
  assert.match(run(made).out, /^1000\nhi\n\/dev\/(console|pts\/0)\n1\n$/);
  const target = sleeping();
  assert.match(keel("exec", "-t", "-u", "1000", target.id, "sh", "-c", script).out, /^1000\nhi\n\/dev\/pts\/0\n0\n$/);
});

t("edge 15: the null device as stdio is the container's own, and keeps its owner on the host", () => {
  const before = statSync("/dev/null").uid;
  const made = bundle(["sh", "-c", "stat -L -c %d:%i /proc/self/fd/0 /dev/null >/out"], (s) => {
    s.process.user = { uid: 1000, gid: 1000 };
  });
  writeFileSync(join(made.rootfs, "out"), "");
  chmodSync(join(made.rootfs, "out"), 0o666);
  assert.equal(keelDetached("run", "-b", made.dir, made.id).code, 0);
  const [input, own] = readFileSync(join(made.rootfs, "out"), "utf8").split("\n");
  assert.equal(input, own);
  assert.equal(statSync("/dev/null").uid, before);
  // a pipe is the user's, so that it can be opened again through /dev/stdout
  const again = bundle(["sh", "-c", "echo again >/dev/stdout"], (s) => {
    s.process.user = { uid: 1000, gid: 1000 };
  });
  const piped = spawnSync("sh", ["-c", '"$@" </dev/null | cat', "sh", KEEL, "run", "-b", again.dir, again.id]);
  assert.equal(String(piped.stdout), "again\n", String(piped.stderr));
});

t("edge 16: masked and read-only paths may be absent, doubled, files or directories, on a read-only root", () => {
  const ran = sh("cat /etc/passwd; ls /tmp | wc -l; touch /etc/x /var/x", (s) => {
    s.root.readonly = true;
    s.linux.maskedPaths = ["/etc/passwd", "/tmp", "/tmp", "/etc/passwd", "/absent", "/etc/passwd/below"];
    s.linux.readonlyPaths = ["/etc", "/etc", "/absent", "/etc/passwd"];
  });
  assert.equal(ran.out, "0\n", ran.err);
  assert.match(ran.err, /\/etc\/x: Read-only file system/);
});

t("edge 17: the root's propagation is what was asked for, one level deep, with pivot_root and without", () => {
  const of = (value: string | undefined, ...flags: string[]): string => {
    const made = bundle(["sh", "-c", "awk '$5 == \"/\" {print $7}' /proc/self/mountinfo"], (s) => {
      s.linux.rootfsPropagation = value;
    });
    const ran = run(made, ...flags);
    assert.equal(ran.code, 0, ran.err);
    return ran.out;
  };
  for (const value of ["rprivate", undefined, "private"]) assert.equal(of(value), "-\n");
  assert.match(of("rshared"), /^shared:\d+\n$/);
  assert.match(of("rslave"), /^(master:\d+|-)\n$/);
  assert.match(of("unbindable"), /^unbindable\n$/);
  assert.match(of("rprivate", "--no-pivot"), /^-\n/);
  assert.equal(
    readFileSync("/proc/self/mountinfo", "utf8").includes(`/t${process.pid}-`),
    false,
    "a mount came back to the host",
  );
});

t(
  "edge 18: a list of the calls that a program needs and execve is enough for keel, with no_new_privs and without",
  () => {
    const names =
      "execve exit exit_group write writev brk arch_prctl mmap munmap mprotect set_tid_address set_robust_list rseq " +
      "prlimit64 readlinkat getrandom newfstatat fstat prctl getuid getgid setuid setgid futex readlink uname ioctl";
    for (const noNewPrivileges of [true, false]) {
      const ran = run(
        bundle(["echo", "strict"], (s) => {
          s.process.noNewPrivileges = noNewPrivileges;
          s.linux.seccomp = {
            defaultAction: "SCMP_ACT_ERRNO",
            syscalls: [{ names: names.split(" "), action: "SCMP_ACT_ALLOW" }],
          };
        }),
      );
      assert.equal(ran.out, "strict\n", ran.err);
    }
  },
);

t("edge 19: ambient capabilities reach a plain user when permitted and inheritable, and only those", () => {
  const ran = sh("grep Cap /proc/self/status", (s) => {
    s.process.user = { uid: 1000, gid: 1000 };
    const both = ["CAP_KILL", "CAP_NET_BIND_SERVICE"];
    s.process.capabilities = {
      bounding: both,
      permitted: both,
      effective: both,
      inheritable: ["CAP_KILL"],
      ambient: both,
    };
  });
  assert.match(
    ran.out,
    /CapInh:\s+0{14}20\nCapPrm:\s+0{14}20\nCapEff:\s+0{14}20\nCapBnd:\s+0{13}420\nCapAmb:\s+0{14}20/,
  );
});

t("edge 20: the program's umask does not touch what the runtime makes", () => {
  const ran = sh("umask; stat -c %a /dev/null /made /dev/pts /a/b; touch /tmp/f; stat -c %a /tmp/f", (s) => {
    s.process.user = { uid: 0, gid: 0, umask: 0o077 };
    s.process.cwd = "/made";
    s.mounts.push({ destination: "/a/b", type: "tmpfs", source: "tmpfs" });
  });
  assert.equal(ran.out, "0077\n666\n755\n755\n1777\n600\n", ran.err);
});

t("edge 21: a cwd that only root or only the user may enter works", () => {
  const cwd = (mode: number, uid: number, caps: string[]) => {
    const made = bundle(["sh", "-c", "pwd -P"], (s) => {
      s.process.cwd = "/closed";
      s.process.user = { uid: 1000, gid: 1000 };
      s.process.capabilities = { bounding: caps, effective: caps, permitted: caps };
    });
    mkdirSync(join(made.rootfs, "closed"));
    chmodSync(join(made.rootfs, "closed"), mode);
    chownSync(join(made.rootfs, "closed"), uid, uid);
    return run(made);
  };
  assert.equal(cwd(0o700, 1000, []).out, "/closed\n");
  const rootOnly = cwd(0o700, 0, []);
  assert.equal(rootOnly.code, 0, rootOnly.err);
});

t("edge 22: the OOM score of a program in a user namespace and with rlimits of another user is set", () => {
  const ran = sh("cat /proc/self/oom_score_adj; ulimit -n; ulimit -c", (s) => {
    inUserNamespace(s);
    s.process.user = { uid: 1000, gid: 1000 };
    s.process.oomScoreAdj = 700;
    s.process.rlimits = [
      { type: "RLIMIT_NOFILE", soft: 32, hard: 64 },
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
    ];
  });
  assert.equal(ran.out, "700\n32\n0\n", ran.err);
});

t(
  "edge 23: each hook runs in its namespaces, a failing one undoes the container, poststop's failure is only told",
  () => {
    const made = bundle(["true"]);
    const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
    const own = spawnSync("readlink", ["/proc/self/ns/mnt"], { encoding: "utf8" }).stdout;
    const log = (file: string) => ({
      path: "/bin/sh",
      args: ["sh", "-c", `readlink /proc/self/ns/mnt >>${file}; test -e ${made.dir} && echo host >>${file}; exit 0`],
      env: ["PATH=/bin:/usr/bin"],
    });
    spec.hooks = {
      prestart: [log(join(made.dir, "prestart"))],
      createRuntime: [log(join(made.dir, "createRuntime"))],
      createContainer: [log(join(made.dir, "createContainer"))],
      startContainer: [log("/startContainer")],
      poststart: [log(join(made.dir, "poststart"))],
      poststop: [{ path: "/bin/false" }, log(join(made.dir, "poststop"))],
    };
    writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
    const ran = run(made);
    assert.equal(ran.code, 0, ran.err);
    assert.match(ran.err, /warning: .*poststop.*\/bin\/false/);
    const seen = (file: string): string => readFileSync(join(made.dir, file), "utf8");
    for (const kind of ["prestart", "createRuntime", "poststart"]) assert.equal(seen(kind), `${own}host\n`, kind);
    assert.match(seen("createContainer"), /^mnt:\[\d+\]\nhost\n$/);
    assert.notEqual(seen("createContainer"), `${own}host\n`);
    assert.match(seen("rootfs/startContainer"), /^mnt:\[\d+\]\n$/);
    for (const kind of ["prestart", "createRuntime", "createContainer", "startContainer"]) {
      const failing = bundle(["true"], (s) => {
        s.hooks = { [kind]: [{ path: kind === "startContainer" ? "/bin/nonesuch" : "/bin/false" }] };
      });
      assert.notEqual(run(failing).code, 0, kind);
      assert.equal(existsSync(stateDir(failing.id)), false, kind);
    }
  },
);

t("edge 23: poststop hooks run on delete --force", () => {
  const made = bundle(["sleep", "1000"]);
  const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
  spec.hooks = { poststop: [{ path: "/bin/sh", args: ["sh", "-c", `cat >${made.dir}/stopped`] }] };
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
  assert.equal(keelDetached("run", "-d", "-b", made.dir, made.id).code, 0);
  assert.equal(keel("delete", "--force", made.id).code, 0);
  assert.equal(JSON.parse(readFileSync(join(made.dir, "stopped"), "utf8")).status, "stopped");
});

t("edge 24: delete ends a created container; start of a stopped one and a second start are refused", async () => {
  const made = bundle(["true"]);
  assert.equal(keelDetached("create", "-b", made.dir, made.id).code, 0);
  const { pid } = state(made.id);
  assert.equal(keel("delete", made.id).code, 0);
  assert.equal(alive(pid), false);
  const short = bundle(["true"]);
  assert.equal(keelDetached("create", "-b", short.dir, short.id).code, 0);
  assert.equal(keel("start", short.id).code, 0);
  await until(() => state(short.id).status === "stopped");
  assert.match(keel("start", short.id).err, /cannot start a container that has stopped/);
  assert.equal(keel("delete", short.id).code, 0);
});

t("edge 24: the program is looked for with the final cwd, environment and user, at create", () => {
  const at = (change: (s: Loose) => void) => {
    const made = bundle(["./mine"], change);
    mkdirSync(join(made.rootfs, "work"));
    writeFileSync(join(made.rootfs, "work/mine"), "#!/bin/sh\necho found\n");
    chmodSync(join(made.rootfs, "work/mine"), 0o700);
    return run(made);
  };
  assert.equal(at((s) => Object.assign(s.process, { cwd: "/work" })).out, "found\n");
  assert.equal(at((s) => Object.assign(s.process, { args: ["mine"], env: ["PATH=/nowhere:/work"] })).out, "found\n");
  assert.match(at((s) => Object.assign(s.process, { cwd: "/" })).err, /stat \.\/mine: no such file or directory/);
  const user = at((s) => Object.assign(s.process, { cwd: "/work", user: { uid: 1000, gid: 1000 } }));
  assert.match(user.err, /"\.\/mine": permission denied/);
});

t("edge 25: a detached container holds no descriptor of its caller but stdio", () => {
  const made = bundle(["sleep", "1000"]);
  const script = '{ "$@" </dev/null >/dev/null 2>&1 9>&-; echo created $?; } 8>&1 | cat';
  const done = spawnSync(
    "sh",
    ["-c", script, "sh", KEEL, "--root", join(stateDir("x"), ".."), "create", "-b", made.dir, made.id],
    { encoding: "utf8", timeout: 5000 },
  );
  // `cat` ends when nobody holds the pipe any more, of which the container had a copy as descriptor 8
  keel("delete", "--force", made.id);
  assert.equal(done.stdout, "created 0\n");
});

t("edge 25: all output of a terminal comes, signals are as the program expects them, orphans are reaped", () => {
  const made = bundle(["sh", "-c", "seq 1 50000; (sleep 0.01 &); echo end"], (s) => {
    s.process.terminal = true;
  });
  const lines = run(made).out.split("\n");
  assert.equal(lines.length, 50002);
  assert.equal(lines[50000], "end");
  const signals = run(bundle(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])).out;
  assert.match(signals, /SigBlk:\s+0{16}\nSigIgn:\s+0{16}/);
});

t("edge 25: a foreground run forwards signals", async () => {
  const made = bundle(["sh", "-c", "trap 'echo usr1; exit 5' USR1; touch /ready; while :; do sleep 0.05; done"]);
  const child = spawn(KEEL, ["--root", join(made.dir, "state"), "run", "-b", made.dir, made.id], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += String(chunk);
  });
  await until(() => existsSync(join(made.rootfs, "ready")));
  child.kill("SIGUSR1");
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(`${out}${code}`, "usr1\n5");
  assert.deepEqual(readdirSync(join(made.dir, "state")), []);
});
