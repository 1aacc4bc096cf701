import type { Value, Variant } from "../dbus/marshal.ts";
import { runtimeError } from "../lib/errors.ts";

/** Type words of GVariant's text format and their D-Bus types. */
const WORDS: { readonly [word: string]: string } = {
  boolean: "b",
  byte: "y",
  int16: "n",
  uint16: "q",
  int32: "i",
  uint32: "u",
  int64: "x",
  uint64: "t",
  string: "s",
  objectpath: "o",
  signature: "g",
};

const ESCAPES: { readonly [letter: string]: string } = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" };

interface Text {
  readonly text: string;
  at: number;
}

/** A value whose type is not said anywhere yet has the type "": the number or the empty array that it is. */
interface Parsed {
  readonly type: string;
  readonly value: Value;
}

/**
 * Parses a value in GVariant's text format, as annotations give systemd properties: booleans, strings, numbers with or
 * without a type, arrays and tuples of them. A number without a type is an int32.
 */
export function parseVariant(text: string): Variant {
  const source: Text = { text, at: 0 };
  const parsed = parseValue(source, 0);
  skipSpace(source);
  if (source.at < text.length) throw wrong(source, "the end");
  return settle(parsed, source);
}

function wrong(source: Text, wanted: string): unknown {
  return runtimeError("InvalidArgument", `at character ${source.at + 1} of "${source.text}": expected ${wanted}`);
}

function settle(parsed: Parsed, source: Text): Variant {
  if (parsed.type !== "") return parsed;
  if (typeof parsed.value === "string") return { type: "i", value: parsed.value };
  throw wrong(source, "a type such as @as before an empty array");
}

function skipSpace(source: Text): void {
  while (/\s/.test(source.text.charAt(source.at))) source.at++;
}

function parseValue(source: Text, depth: number): Parsed {
  if (depth > 16) throw wrong(source, "less depth");
  skipSpace(source);
  const rest = source.text.substring(source.at);
  const first = rest.charAt(0);
  if (first === "'" || first === '"') return { type: "s", value: parseString(source) };
  if (first === "[") return parseArray(source, depth);
  if (first === "(") return parseTuple(source, depth);
  const typed = /^@([a-z()]+)\s/.exec(rest);
  if (typed) {
    source.at += typed[0].length;
    return withType(source, typed[1] as string, parseValue(source, depth + 1));
  }
  const word = /^[a-z][a-z0-9]*/.exec(rest);
  if (word && (word[0] === "true" || word[0] === "false")) {
    source.at += word[0].length;
    return { type: "b", value: word[0] === "true" };
  }
  if (word && WORDS[word[0]]) {
    source.at += word[0].length;
    return withType(source, WORDS[word[0]] as string, parseValue(source, depth + 1));
  }
  const number = /^[-+]?(0x[0-9a-fA-F]{1,13}|\d+)/.exec(rest);
  if (!number) throw wrong(source, "a value");
  source.at += number[0].length;
  const plain = number[0].replace(/^\+/, "");
  return { type: "", value: /0x/.test(plain) ? String(Number(plain)) : plain };
}

/** Gives an untyped value the type that was written before it. */
function withType(source: Text, type: string, parsed: Parsed): Parsed {
  const fits =
    parsed.type === type ||
    (parsed.type === "s" && (type === "o" || type === "g")) ||
    (parsed.type === "" && (typeof parsed.value === "string" ? /^[ynqiuxt]$/.test(type) : type.charAt(0) === "a"));
  if (!fits) throw wrong(source, `a value of type ${type}`);
  return { type, value: parsed.value };
}

function parseString(source: Text): string {
  const quote = source.text.charAt(source.at++);
  let out = "";
  for (;;) {
    const letter = source.text.charAt(source.at++);
    if (letter === "") throw wrong(source, `a closing ${quote}`);
    if (letter === quote) return out;
    if (letter !== "\\") {
      out += letter;
      continue;
    }
    const letterAfter = source.text.charAt(source.at++);
    const code = /^[uU]/.test(letterAfter) ? source.text.substr(source.at, letterAfter === "u" ? 4 : 8) : "";
    if (code !== "") {
      if (!/^(0000)?[0-9a-fA-F]{4}$/.test(code)) throw wrong(source, "four hexadecimal digits");
      source.at += code.length;
      out += String.fromCharCode(parseInt(code, 16));
    } else out += ESCAPES[letterAfter] || letterAfter;
  }
}

/** The values up to the closing letter, which is taken too. */
function parseList(source: Text, close: string, depth: number): Parsed[] {
  const items: Parsed[] = [];
  source.at++;
  for (;;) {
    skipSpace(source);
    if (source.text.charAt(source.at) === close) {
      source.at++;
      return items;
    }
    if (items.length > 0) {
      if (source.text.charAt(source.at) !== ",") throw wrong(source, `"," or "${close}"`);
      source.at++;
      skipSpace(source);
      if (close === ")" && source.text.charAt(source.at) === close) continue;
    }
    items.push(parseValue(source, depth + 1));
  }
}

/** All elements have one type: that of the first which has one. */
function parseArray(source: Text, depth: number): Parsed {
  const items = parseList(source, "]", depth);
  let type = "";
  for (let i = 0; i < items.length; i++) type = type || (items[i] as Parsed).type;
  if (items.length === 0) return { type: "", value: [] };
  if (type === "") type = "i";
  const values: Value[] = [];
  for (let i = 0; i < items.length; i++) values.push(withType(source, type, items[i] as Parsed).value);
  return { type: `a${type}`, value: values };
}

function parseTuple(source: Text, depth: number): Parsed {
  const items = parseList(source, ")", depth);
  if (items.length === 0) throw wrong(source, "a value in the tuple");
  let type = "";
  const values: Value[] = [];
  for (let i = 0; i < items.length; i++) {
    const item = settle(items[i] as Parsed, source);
    type += item.type;
    values.push(item.value);
  }
  return { type: `(${type})`, value: values };
}
