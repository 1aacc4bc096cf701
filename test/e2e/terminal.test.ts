import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Terminal } from "../terminal.ts";
import { BERTH, helloSkip, probe, Store } from "./harness.ts";
import { Served } from "./served.ts";

const skip = probe("script") || helloSkip();
const IMAGE = "berth.local/hello";
let store: Store;

before(() => {
  if (!skip) store = new Store();
});

after(async () => {
  if (!skip) await store[Symbol.asyncDispose]();
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 60_000 }, body);

const onTerminal = (...args: readonly string[]): Terminal => new Terminal([BERTH, ...args], store.env);

t("run -it: a shell on a terminal of the same size, its code is ours", async () => {
  const terminal = onTerminal("run", "--rm", "-it", "--network", "none", IMAGE, "sh");
  await terminal.sees(/# /);
  terminal.type("stty size; tty; exit 7\n");
  await terminal.sees(/33 99\r\n\/dev\/pts\/0\r\n/);
  assert.equal(await terminal.code, 7);
});

t("run -it: Ctrl-C is the program's, with an init too", async () => {
  for (const flags of [[], ["--init"]]) {
    const terminal = onTerminal("run", "--rm", "-it", ...flags, "--network", "none", IMAGE, "sh");
    await terminal.sees(/# /);
    terminal.type("sleep 1000\n");
    await terminal.sees(/sleep 1000\r\n/);
    // the shell has to start it first
    await new Promise((resolve) => setTimeout(resolve, 300));
    terminal.type("\x03");
    await terminal.sees(/# /);
    terminal.type("echo code=$?; exit\n");
    await terminal.sees(/code=130/);
    assert.equal(await terminal.code, 0);
  }
});

t("run -it, detach keys, attach: the container goes on, and what it shows is seen again", async () => {
  const first = onTerminal("run", "-it", "--name", "shell", "--network", "none", IMAGE, "sh");
  await first.sees(/# /);
  first.type("echo before\n");
  await first.sees(/before\r\n.*# /s);
  first.type("\x10\x11");
  assert.equal(await first.code, 0);
  assert.equal(store.berth("ps", "--format", "{{.Names}}").out, "shell\n");
  const second = onTerminal("attach", "shell");
  await new Promise((resolve) => setTimeout(resolve, 500));
  second.type("echo again; exit 5\n");
  await second.sees(/again\r\n/);
  assert.equal(await second.code, 5);
  assert.equal(store.berth("rm", "shell").code, 0);
});

t("exec -it: a second terminal in the container, as another user by name", async () => {
  store.berth("run", "-d", "--name", "host", "--network", "none", IMAGE, "sleep", "1000");
  const terminal = onTerminal("exec", "-it", "-u", "nobody", "host", "sh");
  await terminal.sees(/\$ /);
  terminal.type("id -u; stty size; exit 3\n");
  await terminal.sees(/65534\r\n33 99\r\n/);
  assert.equal(await terminal.code, 3);
  assert.equal(store.berth("rm", "-f", "host").code, 0);
});

t("-t without a terminal on stdin is refused by name of the flag", () => {
  const ran = store.berth("run", "--rm", "-it", "--network", "none", IMAGE, "true");
  assert.notEqual(ran.code, 0);
  assert.match(ran.err, /not a TTY/);
  assert.equal(store.berth("ps", "-aq").out, "");
});

t("login: user and password are asked for, and the password is not shown", async () => {
  const users = join(store.dir, "users");
  // `secret`, by bcrypt.
  writeFileSync(users, "ann:$2b$05$3.K/3/8FLJsaqc8sNtdd2OferhMnR1bb6aFcXsTbcELomz/3V04qq\n");
  const env = { ...store.env, BERTH_ROOT: join(store.dir, "locked") };
  await using served = await Served.start(env, "--htpasswd", users);
  const terminal = onTerminal("login", "--authfile", join(store.dir, "auth.json"), served.host);
  await terminal.sees(/Username: /);
  terminal.type("anx\x7fn\r");
  await terminal.sees(/Password: /);
  terminal.type("secreX\x7ft\r");
  assert.equal(await terminal.code, 0, terminal.shown);
  assert.match(terminal.shown, /Login Succeeded/);
  assert.doesNotMatch(terminal.shown, /secre/);
  const stopped = onTerminal("login", "-u", "ann", served.host);
  await stopped.sees(/Password: /);
  stopped.type("\x03");
  assert.equal(await stopped.code, 130);
});
