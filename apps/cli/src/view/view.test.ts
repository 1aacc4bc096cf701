import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import type { Container, Image, ImageSummary } from "@berth/engine";
import { parseDigest } from "@berth/oci";
import { parseTime } from "../commands/logs.ts";
import { parseFlags } from "../parse.ts";
import { CONTAINER_FLAGS, type ContainerFlags } from "../spec/flags.ts";
import { buildSpec } from "../spec/spec.ts";
import { compileTemplate } from "../template/evaluate.ts";
import { toJson } from "../template/functions.ts";
import { containerRows, filterContainers, formatPorts, statusOf } from "./containers.ts";
import { ellipsis, formatRows, formatTime } from "./format.ts";
import { filterImages, imageRowKind, imageRows } from "./images.ts";
import { inspectContainer, inspectImage } from "./inspect.ts";

const NOW = Date.parse("2026-01-02T12:00:00Z");
const ID = "0123456789abcdef".repeat(4);
const digest = (hex: string): Image["id"] => parseDigest(`sha256:${hex.repeat(64)}`);

function container(argv: readonly string[], more: Partial<Container> = {}): Container {
  const parsed = parseFlags(argv, { name: "run", flags: CONTAINER_FLAGS, stopAtArgument: true });
  const around = { env: {}, cwd: "/", readFile: () => "" };
  const spec = buildSpec(parsed.args, parsed.flags as ContainerFlags, around, true);
  return {
    id: ID,
    name: spec.name ?? "quiet_pond",
    spec,
    imageId: digest("a"),
    imageName: spec.image,
    createdAtMs: NOW - 3_600_000,
    status: "running",
    pid: 42,
    startedAt: new Date(NOW - 180_000).toISOString(),
    finishedAt: "",
    exitCode: 0,
    oomKilled: false,
    error: "",
    args: spec.command,
    ports: spec.ports,
    network: { ipAddress: "10.0.0.2", prefixLength: 16, gateway: "10.0.0.1", macAddress: "02:00:00:00:00:01" },
    logPath: "/log",
    mounts: [],
    ...more,
  };
}

function image(hex: string, names: readonly string[], more: Partial<Image> = {}): Image {
  return {
    id: digest(hex),
    names,
    repoDigests: [],
    manifest: { mediaType: "m", digest: digest("f"), size: 1 },
    config: { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } },
    layers: [],
    chainId: digest("e"),
    sizeBytes: 117_000_000,
    createdAtMs: NOW - 86_400_000 * 3,
    ...more,
  };
}

const kind = containerRows({ noTrunc: false, nowMs: NOW });
const web = container(["--name", "web", "-p", "8080:80", "-l", "tier=front", "debian", "sh", "-c", "echo a long line"]);

test("ps: the table is docker's", () => {
  assert.equal(
    formatRows([web], kind, { quiet: false }),
    [
      "CONTAINER ID   IMAGE     COMMAND                  CREATED             STATUS         PORTS                  NAMES",
      '0123456789ab   debian    "sh -c \'echo a long …"   About an hour ago   Up 3 minutes   0.0.0.0:8080->80/tcp   web',
      "",
    ].join("\n"),
  );
});

test("ps: formats", () => {
  const table: readonly (readonly [string, string])[] = [
    ["{{.Names}}", "web\n"],
    ['{{.ID}}\\t{{.State}} {{.Label "tier"}}{{.Label "none"}}', "0123456789ab\trunning front\n"],
    ['table {{.Names}}\\t{{.Label "com.x.a-b"}}', "NAMES     a b\nweb       \n"],
    ["{{json .Names}}", '"web"\n'],
  ];
  for (const [format, out] of table) assert.equal(formatRows([web], kind, { format, quiet: false }), out, format);
  const json = JSON.parse(formatRows([web], kind, { format: "json", quiet: false }));
  assert.deepEqual(
    [json.ID, json.Labels, json.Networks, "Label" in json],
    ["0123456789ab", "tier=front", "bridge", false],
  );
  assert.equal(formatRows([web], kind, { quiet: true }), "0123456789ab\n");
  assert.equal(formatRows([], kind, { quiet: true }), "");
  assert.throws(
    () => formatRows([web], kind, { format: "{{.Nope}}", quiet: false }),
    (e) => isCode(e, "InvalidArgument"),
  );
});

test("ps: states in docker's words", () => {
  const ended = { finishedAt: new Date(NOW - 5000).toISOString(), exitCode: 5 };
  const word = (status: Container["status"]): string => statusOf({ ...web, ...ended, status }, NOW);
  assert.deepEqual((["created", "running", "paused", "exited", "removing", "dead"] as const).map(word), [
    "Created",
    "Up 3 minutes",
    "Up 3 minutes (Paused)",
    "Exited (5) 5 seconds ago",
    "Removal In Progress",
    "Dead",
  ]);
  assert.equal(
    formatPorts([
      { hostIp: "::1", hostPort: 1, containerPort: 2, protocol: "udp" },
      { hostIp: "", hostPort: 0, containerPort: 3, protocol: "tcp" },
    ]),
    "[::1]:1->2/udp, 3/tcp",
  );
});

test("ps: filters of one key are alternatives, of different keys and labels conditions", () => {
  const db = container(["--name", "db", "-l", "tier=back", "-l", "x", "postgres:17"], {
    id: `f${ID.slice(1)}`,
    status: "exited",
    exitCode: 3,
    imageId: digest("b"),
  });
  const found = (...filters: readonly string[]): string =>
    filterContainers([web, db], filters, (ref) => (ref === "pg" ? image("b", ["pg"]) : undefined))
      .map((c) => c.name)
      .join(" ");
  const table: readonly (readonly [readonly string[], string])[] = [
    [[], "web db"],
    [["name=w"], "web"],
    [["name=^/db$"], "db"],
    [["name=web", "name=db"], "web db"],
    [["name=web", "status=exited"], ""],
    [["label=tier"], "web db"],
    [["label=tier=back"], "db"],
    [["label=tier=back", "label=nope"], ""],
    [["id=0123"], "web"],
    [["exited=3"], "db"],
    [["ancestor=pg"], "db"],
    [["ancestor=debian"], "web"],
    [["network=bridge"], "web db"],
  ];
  for (const [filters, names] of table) assert.equal(found(...filters), names, filters.join(" "));
  for (const bad of ["nosuch=1", "status=asleep", "exited=x", "name=("])
    assert.throws(
      () => found(bad),
      (e) => isCode(e, "InvalidArgument"),
      bad,
    );
});

test("images: every name a row, short as docker shows it, untagged ones as <none>", () => {
  const rows = imageRows([
    image("a", ["docker.io/library/debian:12", "localhost:5000/x/y:1"], {
      repoDigests: [`docker.io/library/debian@${digest("c")}`],
    }),
    image("b", [], { createdAtMs: 0 }),
  ]);
  const labelsOf = ({ id }: ImageSummary): Record<string, string> => (id === digest("a") ? { tier: "front" } : {});
  const show = (filters: readonly string[], name?: string): string =>
    formatRows(
      filterImages(rows, filters, name, labelsOf),
      imageRowKind({ noTrunc: false, digests: false, nowMs: NOW }),
      {
        format: "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}} {{.CreatedSince}}",
        quiet: false,
      },
    );
  assert.equal(
    show([]),
    "debian 12 aaaaaaaaaaaa 117MB 3 days ago\nlocalhost:5000/x/y 1 aaaaaaaaaaaa 117MB 3 days ago\n<none> <none> bbbbbbbbbbbb 117MB N/A\n",
  );
  assert.match(show(["dangling=true"]), /^<none>.*\n$/);
  assert.match(show(["label=tier=front"], "debian"), /^debian 12 .*\n$/);
  assert.equal(show(["label=tier=back"]), "");
  assert.equal(show(["reference=debian", "reference=*/x/y"]).split("\n").length - 1, 2, "one of them is enough");
  assert.match(show(["until=1h"]), /^debian 12 (.*\n){3}$/);
  assert.match(show(["until=2000-01-01"]), /^<none>.*\n$/);
  assert.equal(show(["reference=[c-d]ebian:[^0-9]*"]), "");
  assert.match(show(["reference=[c-d]ebian:1[0-9]"]), /^debian.*\n$/);
  for (const bad of ["reference=a[", "reference=[z-a]", "until=never", "nosuch=1"])
    assert.throws(
      () => show([bad]),
      (e) => isCode(e, "InvalidArgument"),
      bad,
    );
  for (const [name, count] of [
    ["debian", 1],
    ["debian:12", 1],
    ["debian:13", 0],
    ["localhost:5000/x/*", 1],
    ["docker.io/library/debian", 1],
  ] as const) {
    assert.equal(show([], name).split("\n").length - 1, count, name);
  }
  const table = formatRows(rows, imageRowKind({ noTrunc: false, digests: true, nowMs: NOW }), { quiet: false });
  assert.match(
    table,
    /^REPOSITORY +TAG +DIGEST +IMAGE ID +CREATED +SIZE\ndebian +12 +sha256:c+ +a{12} +3 days ago +117MB\n/,
  );
});

test("inspect: docker's paths lead to the values", () => {
  const base = image("a", ["docker.io/library/debian:12"], {
    config: {
      architecture: "amd64",
      os: "linux",
      config: { Env: ["PATH=/bin", "A=0"], Cmd: ["bash"], WorkingDir: "/w" },
      rootfs: { type: "layers", diff_ids: [] },
    },
  });
  const data = inspectContainer(
    container(
      ["--name", "web", "-e", "A=1", "-p", "8080:80", "-m", "64m", "-l", "k=v", "--cap-drop", "ALL", "debian"],
      { args: ["bash"] },
    ),
    base,
  );
  const table: readonly (readonly [string, string])[] = [
    ["{{.Name}} {{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.ExitCode}}", "/web running true 42 0"],
    ["{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Networks.bridge.Gateway}}", "10.0.0.2 10.0.0.1"],
    ['{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"],
    ["{{range .Config.Env}}{{println .}}{{end}}", "PATH=/bin\nA=1\n"],
    ["{{.Config.Cmd}} {{.Config.WorkingDir}} {{.Config.Labels.k}} {{.Config.Labels.none}}", "[bash] /w v <no value>"],
    ["{{.HostConfig.Memory}} {{json .HostConfig.CapDrop}} {{.HostConfig.NetworkMode}}", '67108864 ["ALL"] bridge'],
    ["{{.Path}} {{json .Args}} {{.State.FinishedAt}}", "bash [] 0001-01-01T00:00:00Z"],
  ];
  for (const [source, out] of table) assert.equal(compileTemplate(source).render(data), out, source);
  assert.equal(JSON.parse(toJson(data)).Config.Labels.k, "v");
  assert.equal(
    compileTemplate('{{.Id}} {{join .RepoTags ","}} {{.Os}}/{{.Architecture}}').render(inspectImage(base)),
    `${digest("a")} debian:12 linux/amd64`,
  );
});

test("logs: times as docker takes them", () => {
  const table: readonly (readonly [string, number])[] = [
    ["2026-01-02T11:00:00Z", NOW - 3_600_000],
    ["2026-01-02T11:00:00.5Z", NOW - 3_599_500],
    ["2026-01-02T13:00:00+02:00", NOW - 3_600_000],
    [String(NOW / 1000), NOW],
    ["10m", NOW - 600_000],
    ["1h30m", NOW - 5_400_000],
  ];
  for (const [text, ms] of table) assert.equal(parseTime(text, "--since", NOW), ms, text);
  assert.equal(parseTime("2026-01-02", "--since", NOW), new Date(2026, 0, 2).getTime());
  for (const bad of ["yesterday", "2026-13-45", ""])
    assert.throws(
      () => parseTime(bad, "--since", NOW),
      (e) => isCode(e, "InvalidArgument"),
      bad,
    );
});

test("format: times in Go's form, text cut with an ellipsis", () => {
  assert.match(formatTime(NOW), /^2026-01-0[123] \d\d:\d\d:00 [+-]\d{4} (UTC|[+-]\d\d)$/);
  assert.deepEqual([ellipsis("abcdef", 4), ellipsis("abc", 3)], ["abc…", "abc"]);
});
