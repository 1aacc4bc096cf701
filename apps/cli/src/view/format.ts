import { formatTable } from "../print/table.ts";
import { compileTemplate } from "../template/evaluate.ts";
import { toJson } from "../template/functions.ts";

/** How a kind of row is shown; names and headers are docker's. */
export interface RowKind<R> {
  readonly fields: Readonly<Record<string, { readonly header: string; readonly value: (row: R) => string }>>;
  /** Placeholders that take an argument, such as `{{.Label "x"}}`; not part of the JSON. */
  readonly methods?: Readonly<Record<string, (row: R, argument: string) => string>>;
  /** Fields of the usual table. */
  readonly table: readonly string[];
  /** Printed alone with --quiet. */
  readonly id: string;
}

export interface RowOptions {
  /** `table`, `table TEMPLATE`, `json` or a Go template; empty or undefined: table. */
  readonly format?: string | undefined;
  readonly quiet: boolean;
}

/** @throws {BerthError} InvalidArgument if the format is no template or names a field that is not there */
export function formatRows<R>(rows: readonly R[], kind: RowKind<R>, options: RowOptions): string {
  const format = options.format || "table";
  if (options.quiet && (format === "table" || format === "json"))
    return lines(rows.map((row) => kind.fields[kind.id]?.value(row) ?? ""));
  if (format === "table") return usualTable(rows, kind);
  if (format === "json") return lines(rows.map((row) => toJson(dataOf(kind, row, true))));
  const isTable = /^table\b/.test(format);
  const written = isTable ? format.slice("table".length).trim() : format;
  const source = written === "" ? kind.table.map((name) => `{{.${name}}}`).join("\t") : withControls(written);
  const template = compileTemplate(source);
  const body = rows.map((row) => template.render(dataOf(kind, row, false)));
  if (!isTable) return lines(body);
  const head = template.render(headerOf(kind));
  return formatTable([head, ...body].map((line) => line.split("\t")));
}

/** Without a template, which costs more than all else when there are a thousand rows. */
function usualTable<R>(rows: readonly R[], kind: RowKind<R>): string {
  const fields = kind.table.map((name) => kind.fields[name]).filter((field) => field !== undefined);
  return formatTable([fields.map(({ header }) => header), ...rows.map((row) => fields.map(({ value }) => value(row)))]);
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}

/** Docker takes `\t` and `\n` as written by a shell's single quotes. */
function withControls(format: string): string {
  return format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

function dataOf<R>(kind: RowKind<R>, row: R, sorted: boolean): object {
  const names = Object.keys(kind.fields);
  const data = Object.fromEntries(
    (sorted ? names.sort() : names).map((name) => [name, () => kind.fields[name]?.value(row)]),
  );
  for (const [name, method] of Object.entries(kind.methods ?? {})) {
    Object.defineProperty(data, name, { value: (argument: string) => method(row, argument), enumerable: false });
  }
  return data;
}

function headerOf<R>(kind: RowKind<R>): object {
  const data = Object.fromEntries(Object.entries(kind.fields).map(([name, field]) => [name, field.header]));
  const lastPart = (argument: string): string => (argument.split(".").at(-1) ?? "").replaceAll(/[-_]/g, " ");
  return { ...data, ...Object.fromEntries(Object.keys(kind.methods ?? {}).map((name) => [name, lastPart])) };
}

/** Go's form of a time, in this machine's zone: `2006-01-02 15:04:05 -0700 MST`. */
export function formatTime(ms: number): string {
  const date = new Date(ms);
  const minutes = -date.getTimezoneOffset();
  const two = (n: number): string => String(n).padStart(2, "0");
  const sign = minutes < 0 ? "-" : "+";
  const offset = `${sign}${two(Math.floor(Math.abs(minutes) / 60))}${two(Math.abs(minutes) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${time} ${offset} ${minutes === 0 ? "UTC" : offset.slice(0, 3)}`;
}

/** At most `width` characters, the last of them `…` when something was cut. */
export function ellipsis(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}

/** Reads `--filter KEY=VALUE` options. */
export function parseFilters(items: readonly string[]): readonly (readonly [string, string])[] {
  return items.map((item) => {
    const equals = item.indexOf("=");
    return equals < 0 ? [item.trim(), ""] : [item.slice(0, equals).trim().toLowerCase(), item.slice(equals + 1).trim()];
  });
}

/** True when a label filter (`KEY` or `KEY=VALUE`) fits. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, wanted);
  const key = wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && labels[key] === wanted.slice(equals + 1);
}
