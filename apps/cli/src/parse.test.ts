import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import type { Command, Flags } from "./command.ts";
import { checkArgs, parseFlags } from "./parse.ts";

const flags = {
  interactive: { type: "boolean", short: "i", doc: "" },
  tty: { type: "boolean", short: "t", doc: "" },
  proxy: { type: "boolean", initial: true, doc: "" },
  env: { type: "list", short: "e", doc: "" },
  name: { type: "string", doc: "" },
  network: { type: "string", alias: "net", doc: "" },
  memory: { type: "bytes", short: "m", doc: "" },
  cpus: { type: "number", doc: "" },
  last: { type: "integer", short: "n", doc: "" },
  pull: { type: "string", choices: ["always", "never"], doc: "" },
} as const satisfies Flags;

const parse = (argv: readonly string[], stopAtArgument = false) =>
  parseFlags(argv, { name: "run", flags, stopAtArgument });

test("parse: the ways to write a flag", () => {
  const table: readonly (readonly [readonly string[], Record<string, unknown>, readonly string[]])[] = [
    [["-it", "a"], { interactive: true, tty: true }, ["a"]],
    [["-i=false", "--tty=true"], { interactive: false, tty: true }, []],
    [["--proxy=0"], { proxy: false }, []],
    [["-e", "A=1", "-eB=2", "-e=C=3", "--env", "D", "--env=E="], { env: ["A=1", "B=2", "C=3", "D", "E="] }, []],
    [["-ite", "A=1"], { interactive: true, tty: true, env: ["A=1"] }, []],
    [["--name", "--tty"], { name: "--tty", tty: false }, []],
    [["--name="], { name: "" }, []],
    [["--net", "none"], { network: "none" }, []],
    [["-m", "1k", "--cpus=.5", "-n", "-1"], { memory: 1024, cpus: 0.5, last: -1 }, []],
    [["--name", "a", "--name", "b"], { name: "b" }, []],
    [["a", "-t", "b", "--", "-i"], { tty: true, interactive: false }, ["a", "b", "-i"]],
    [["-"], {}, ["-"]],
    [[], { interactive: false, proxy: true, env: [], name: undefined }, []],
  ];
  for (const [argv, want, args] of table) {
    const parsed = parse(argv);
    assert.deepEqual(parsed.args, args, argv.join(" "));
    for (const [name, value] of Object.entries(want)) assert.deepEqual(parsed.flags[name], value, argv.join(" "));
  }
});

test("parse: after the image nothing is a flag any more", () => {
  const parsed = parse(["-t", "img", "ls", "-i", "--", "-x", "--help"], true);
  assert.deepEqual(parsed.args, ["img", "ls", "-i", "--", "-x", "--help"]);
  assert.deepEqual([parsed.flags["tty"], parsed.flags["interactive"], parsed.help], [true, false, false]);
  assert.deepEqual(parse(["--", "img", "-i"], true).args, ["img", "-i"]);
});

test("parse: --help and -h ask for help, wherever flags are read", () => {
  for (const argv of [["--help"], ["-h"], ["a", "--help"], ["-ih"]])
    assert.equal(parse(argv).help, true, argv.join(" "));
});

test("parse: docker's words for what is wrong, and 125", () => {
  const table: readonly (readonly [readonly string[], string])[] = [
    [["--nosuch"], "unknown flag: --nosuch"],
    [["--nosuch=1"], "unknown flag: --nosuch"],
    [["--constructor"], "unknown flag: --constructor"],
    [["-ix"], "unknown shorthand flag: 'x' in -ix"],
    [["--name"], "flag needs an argument: --name"],
    [["-ie"], "flag needs an argument: 'e' in -ie"],
    [["-m", "abc"], 'invalid argument "abc" for "-m, --memory" flag: invalid size: \'abc\''],
    [["--tty=maybe"], 'invalid argument "maybe" for "-t, --tty" flag: must be true or false'],
    [["--pull", "often"], 'invalid argument "often" for "--pull" flag: must be one of always, never'],
    [["-n", "1.5"], 'invalid argument "1.5" for "-n, --last" flag: not a whole number'],
    [["--cpus", "-1"], 'invalid argument "-1" for "--cpus" flag: not a number'],
  ];
  for (const [argv, message] of table) {
    assert.throws(
      () => parse(argv),
      (error) => {
        assert.ok(error instanceof BerthError);
        assert.equal(error.message, message);
        assert.equal(error.details?.["exitCode"], 125);
        assert.equal(error.hint, "See 'berth run --help'.");
        return true;
      },
      argv.join(" "),
    );
  }
});

test("parse: the number of arguments", () => {
  const check = (args: readonly string[], given: number): string => {
    const command = { name: "x", args, doc: "", example: "", flags: {}, run: () => ({}) } satisfies Command;
    try {
      checkArgs(
        command,
        Array.from({ length: given }, () => "a"),
      );
      return "";
    } catch (error) {
      return error instanceof Error ? error.message : "";
    }
  };
  assert.equal(check(["A...", "[B]"], 0), '"berth x" requires at least 1 argument');
  assert.equal(check(["A..."], 9), "");
  assert.equal(check([], 1), '"berth x" accepts no arguments');
  assert.equal(check(["A"], 2), '"berth x" requires 1 argument');
  assert.equal(check(["A", "[B]"], 3), '"berth x" requires at most 2 arguments');
  assert.equal(check(["A", "B", "[C...]"], 1), '"berth x" requires at least 2 arguments');
});
