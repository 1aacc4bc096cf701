import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { VERSION as ENGINE_VERSION } from "@berth/engine";
import { main } from "./cli.ts";
import { COMMANDS } from "./commands/index.ts";
import { completionCandidates, completionScript, FILES, SHELLS } from "./completion.ts";
import { docsPage } from "./docs.ts";
import { describeError, exitCodeFor } from "./errors.ts";
import { commandHelp } from "./help.ts";
import { VERSION } from "./version.ts";

const MAIN = join(import.meta.dirname, "main.ts");

/** Runs a command line in this process, without an engine. */
async function berth(
  ...argv: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const written = { 1: "", 2: "" };
  const code = await main(argv, {
    env: {},
    cwd: "/",
    startedAtMs: () => 0,
    write: (fd, data) => {
      written[fd] += String(data);
    },
    openEngine: () => Promise.reject(new Error("no engine is needed")),
  });
  return { code, out: written[1], err: written[2] };
}

test("cli: help, version and mistakes need no engine and exit as docker does", async () => {
  const table: readonly (readonly [readonly string[], number, RegExp, RegExp])[] = [
    [[], 0, /Usage: {2}berth .*\n[\s\S]*run +run a program/, /^$/],
    [["--help"], 0, /Commands:/, /^$/],
    [["run", "--help"], 0, /--rm .*\n[\s\S]*-v, --volume/, /^$/],
    [["container"], 0, /\n {2}ls +list containers\n/, /^$/],
    [["image", "ls", "--help"], 0, /Usage: {2}berth images/, /^$/],
    [["help", "container", "ls"], 0, /Usage: {2}berth ps/, /^$/],
    [["--version"], 0, /^berth version \d/, /^$/],
    [["version", "--format", "{{.Client.Version}}"], 0, /^\d+\.\d+\.\d+\n$/, /^$/],
    [["rnu"], 1, /^$/, /unknown command: berth rnu\nDid you mean 'berth run' or 'berth rm'\?\nSee 'berth --help'\.\n$/],
    [["container", "lss"], 1, /^$/, /Did you mean 'berth container ls'/],
    [["run"], 1, /^$/, /"berth run" requires at least 1 argument\nSee 'berth run --help'\.\n$/],
    [["run", "--nosuch", "x"], 125, /^$/, /^berth: unknown flag: --nosuch\nSee 'berth run --help'\.\n$/],
    [["run", "-v", "a:b:c:d", "x"], 125, /^$/, /invalid volume specification\nhint: /],
    [["run", "-d", "-a", "stdout", "x"], 125, /^$/, /conflicting options: -a and -d/],
    [["inspect", "--format", "{{.x", "a"], 1, /^$/, /template parsing error/],
    [["completion", "csh"], 1, /^$/, /unknown shell "csh"/],
    [["--debug", "run", "-p", "x", "y"], 125, /^$/, /debug: \[InvalidArgument\][\s\S]*at /],
  ];
  for (const [argv, code, out, err] of table) {
    const ran = await berth(...argv);
    assert.equal(ran.code, code, `${argv.join(" ")}\n${ran.err}`);
    assert.match(ran.out, out, argv.join(" "));
    assert.match(ran.err, err, argv.join(" "));
  }
});

test("cli: a reader that has gone ends us quietly", () => {
  const script = '"$0" "$1" help | true; echo $PIPESTATUS';
  const ran = spawnSync("bash", ["-c", script, process.execPath, MAIN], { encoding: "utf8" });
  assert.equal(ran.stderr, "");
  assert.match(ran.stdout, /^(141|0)\n$/);
});

test("errors: one line, the hint on its own, causes only with --debug; exit codes", () => {
  const error = new BerthError("NotFound", "no such thing", { hint: "look elsewhere", cause: new Error("deep") });
  assert.equal(describeError(error, false), "berth: no such thing\nhint: look elsewhere\n");
  assert.match(describeError(error, true), /debug: \[NotFound\][\s\S]*debug: caused by: Error: deep/);
  assert.match(
    describeError(new TypeError("x is undefined"), false),
    /^berth: internal error: x is undefined\nhint: .*bug.*\n$/,
  );
  assert.deepEqual([exitCodeFor(error, true), exitCodeFor(error, false)], [125, 1]);
  assert.equal(exitCodeFor(new BerthError("FailedPrecondition", "", { details: { exitCode: 127 } }), true), 127);
  assert.equal(exitCodeFor(new BerthError("Cancelled", ""), true), 130);
  const aborted = new DOMException("This operation was aborted", "AbortError");
  assert.deepEqual([describeError(aborted, false), exitCodeFor(aborted, true)], ["berth: interrupted\n", 130]);
});

test("commands: each has help, unlike names, and flags that do not collide", () => {
  const names = COMMANDS.flatMap((command) => [command.name, ...(command.also ?? [])]);
  assert.equal(new Set(names).size, names.length);
  for (const command of COMMANDS) {
    assert.ok(command.example.startsWith("berth "), command.name);
    const shorts = Object.values(command.flags).flatMap((flag) => flag.short ?? []);
    assert.equal(new Set(shorts).size, shorts.length, command.name);
    for (const line of commandHelp(command).split("\n")) assert.ok(line.length <= 110, line);
  }
});

test("docs: docs/cli.md is what the commands say", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/cli.md"), "utf8");
  assert.equal(page, docsPage(COMMANDS), "run: node apps/cli/src/main.ts internal docs >docs/cli.md");
});

test("version: the engine's", () => {
  assert.equal(VERSION, ENGINE_VERSION);
});

test("completion: commands, flags, values and names by position", async () => {
  const known = { containers: async () => ["web", "worker"], images: async () => ["docker.io/library/debian:12"] };
  const table: readonly (readonly [readonly string[], readonly string[]])[] = [
    [["ru"], ["run"]],
    [["--de"], ["--debug"]],
    [["--root", "/x", "ru"], ["run"]],
    [["cont"], ["container"]],
    [
      ["container", "ex"],
      ["exec", "export"],
    ],
    [
      ["run", "--pu"],
      ["--publish", "--pull"],
    ],
    [
      ["run", "--pull", ""],
      ["always", "missing", "never", "newer"],
    ],
    [["run", "--env-file", ""], [FILES]],
    [["run", "-it", "--name", "x", "docker.io/l"], ["docker.io/library/debian:12"]],
    [["run", "--rm", "debian", "/bin/"], [FILES]],
    [["run", "--name", "we"], []],
    [
      ["rm", "-f", "w"],
      ["web", "worker"],
    ],
    [["rm", "web", "wo"], ["worker"]],
    [["container", "rm", "we"], ["web"]],
    [["inspect", "d"], ["docker.io/library/debian:12"]],
    [["logs", "web", "w"], []],
    [["completion", "z"], ["zsh"]],
    [["nosuch", "x"], []],
    [["int"], []],
  ];
  for (const [words, candidates] of table) {
    assert.deepEqual(await completionCandidates(words, COMMANDS, known), candidates, words.join(" "));
  }
});

test("completion: the scripts are sound, and bash's completes a line", () => {
  for (const shell of SHELLS) assert.match(completionScript(shell), /internal complete/);
  assert.equal(spawnSync("bash", ["-n"], { input: completionScript("bash") }).status, 0);
  const script = `berth() { "${process.execPath}" "${MAIN}" "$@"; }
    ${completionScript("bash")}
    COMP_LINE="berth run --pul"; COMP_POINT=\${#COMP_LINE}; COMPREPLY=(); _berth; echo "\${COMPREPLY[*]}"`;
  const ran = spawnSync("bash", ["-c", script], { encoding: "utf8" });
  assert.equal(ran.stdout, "--pull\n", ran.stderr);
});
