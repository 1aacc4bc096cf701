import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { compileTemplate } from "./evaluate.ts";
import { toJson } from "./functions.ts";

const data = {
  Name: "web",
  Empty: "",
  Count: 3,
  On: true,
  Nothing: null,
  State: { Status: "running", Pid: 12, Health: null },
  Names: ["a", "b"],
  None: [],
  Labels: new Map([
    ["b", "2"],
    ["a", "1"],
  ]),
  Ports: new Map([["80/tcp", [{ HostIp: "0.0.0.0", HostPort: "8080" }]]]),
  Label: (key: string) => (key === "a" ? "one" : ""),
  ID: () => "0123",
};

test("template: what docker users write gives what docker prints", () => {
  const table: readonly (readonly [string, string])[] = [
    ["plain", "plain"],
    ["{{.Name}}", "web"],
    ["{{ .Name }}/{{.Count}}", "web/3"],
    ["{{.State.Status}}", "running"],
    ["{{.State}}", "{running 12 <nil>}"],
    ["{{json .State}}", '{"Status":"running","Pid":12,"Health":null}'],
    ["{{json .Labels}}", '{"a":"1","b":"2"}'],
    ["{{.Labels}}", "map[a:1 b:2]"],
    ["{{.Labels.a}} {{.Labels.missing}}", "1 <no value>"],
    ['{{index .Labels "b"}}', "2"],
    ["{{.Names}} {{len .Names}} {{index .Names 1}}", "[a b] 2 b"],
    ['{{join .Names ","}}', "a,b"],
    ['{{.Label "a"}} {{.ID}}', "one 0123"],
    ["{{.Name | upper | printf `%-5s|`}}", "WEB  |"],
    ['{{upper "x"}}{{title "two words"}}{{lower "Y"}}', "XTwo Wordsy"],
    ["{{if .On}}yes{{else}}no{{end}}", "yes"],
    ["{{if .Empty}}x{{else if eq .Count 3}}three{{else}}y{{end}}", "three"],
    ["{{range .Names}}<{{.}}>{{end}}{{range .None}}x{{else}}none{{end}}", "<a><b>none"],
    ["{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"],
    ["{{range $i, $n := .Names}}{{if $i}}, {{end}}{{$n}}{{end}}", "a, b"],
    ["{{with .State}}{{.Pid}} {{$.Name}}{{end}}", "12 web"],
    ["{{$x := .Count}}{{if gt $x 2}}{{$x = 9}}{{end}}{{$x}}", "9"],
    ['{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"],
    ["{{range $p, $conf := .Ports}}{{$p}} -> {{(index $conf 0).HostPort}}{{end}}", "80/tcp -> 8080"],
    ["a {{- .Name -}} b", "awebb"],
    ["{{/* comment }} */}}x", "x"],
    ['{{and .On .Name}} {{or .Empty "z"}} {{not .On}}', "web z false"],
    ['{{eq .Name "a" "web"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}}', "true true true true false"],
    ["{{println .Name .Count}}", "web 3\n"],
    ['{{printf "%s:%d %q %5.2f %05d %x %%" .Name 7 "q" 1.5 42 255}}', 'web:7 "q"  1.50 00042 ff %'],
    ['{{split "a:b" ":"}} {{truncate "abcdef" 3}} {{pad "x" 1 2}}|', "[a b] abc  x  |"],
    ['{{"quoted \\"}}\\n"}}', 'quoted "}}\n'],
    ["{{.Nothing}}", "<nil>"],
  ];
  for (const [source, out] of table) assert.equal(compileTemplate(source).render(data), out, source);
});

test("template: what is no template, or does not fit the data, is refused", () => {
  const bad = ["{{.Name", "{{nosuch .}}", "{{if .On}}x", "{{end}}", "{{.Missing}}", "{{.Nothing.X}}", '{{"x}}', "{{}}"];
  bad.push("{{.Name | }}", "{{index .Names 5}}", "{{range .Name}}{{end}}", "{{(.Name}}", "{{$nope}}", "{{.toString}}");
  bad.push("{{.Labels.a.b}}", "{{.constructor}}", "{{constructor}}", '{{"\\z"}}', "{{.Name ~}}");
  for (const source of bad) {
    assert.throws(
      () => compileTemplate(source).render(data),
      (e) => isCode(e, "InvalidArgument"),
      source,
    );
  }
});

test("toJson: maps are objects with sorted keys, methods their value", () => {
  assert.equal(
    toJson({
      m: new Map([
        ["z", 1],
        ["a", null],
      ]),
      f: () => 2,
    }),
    '{"m":{"a":null,"z":1},"f":2}',
  );
});
