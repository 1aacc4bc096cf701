import { BerthError } from "@berth/base";

/**
 * The part of Go's text/template that docker users write in `--format`. Not there: define, template, block, break,
 * continue, and methods of Go's own types.
 */
export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "print"; readonly pipe: Pipe }
  | {
      readonly kind: "if" | "with";
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | {
      readonly kind: "range";
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

export interface Pipe {
  /** `$x :=`, or `$i, $x :=` in a range. */
  readonly variables: readonly string[];
  /** `:=` makes new variables, `=` changes those that are there. */
  readonly declares: boolean;
  readonly commands: readonly (readonly Operand[])[];
}

export type Operand =
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "function"; readonly name: string }
  /** `.A.B` of the dot, of a variable, or of a parenthesised pipe. */
  | { readonly kind: "field"; readonly base: "dot" | string | Pipe; readonly path: readonly string[] };

interface Token {
  readonly kind: "string" | "number" | "field" | "variable" | "word" | "symbol";
  readonly text: string;
}

const TOKEN =
  /\s*(?:("(?:[^"\\\n]|\\.)*")|(`[^`]*`)|([+-]?\d+(?:\.\d+)?)|(\.[A-Za-z_]\w*)|(\$\w*)|([A-Za-z_]\w*)|(:=|[|(),=.]))/y;

export function templateError(why: string): BerthError {
  return new BerthError("InvalidArgument", `template parsing error: ${why}`);
}

/** One action (`{{…}}`) or text between two of them. */
type Piece = { readonly text: string } | { readonly action: string };

function split(source: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let rest = source;
  let trim = false;
  for (;;) {
    const open = rest.indexOf("{{");
    let text = open < 0 ? rest : rest.slice(0, open);
    if (trim) text = text.trimStart();
    if (open < 0) {
      pieces.push({ text });
      return pieces;
    }
    const inner = rest.slice(open + 2);
    const trimLeft = /^-\s/.test(inner);
    if (trimLeft) text = text.trimEnd();
    const close = findClose(inner);
    let action = inner.slice(trimLeft ? 1 : 0, close);
    trim = /\s-$/.test(action);
    if (trim) action = action.slice(0, -1);
    pieces.push({ text }, { action: action.trim() });
    rest = inner.slice(close + 2);
  }
}

/** Index of the `}}` that ends the action: not one within quotes. */
function findClose(inner: string): number {
  const comment = /^-?\s*\/\*[\s\S]*?\*\/\s*-?/.exec(inner);
  let at = comment?.[0].length ?? 0;
  while (at < inner.length) {
    const char = inner.charAt(at);
    if (char === '"' || char === "`") {
      const quoted = (char === '"' ? /"(?:[^"\\]|\\.)*"/y : /`[^`]*`/y) as RegExp;
      quoted.lastIndex = at;
      const match = quoted.exec(inner);
      if (match === null) throw templateError("unterminated quoted string");
      at += match[0].length;
    } else if (inner.startsWith("}}", at)) {
      return at;
    } else {
      at++;
    }
  }
  throw templateError("unclosed action");
}

function tokenize(action: string): readonly Token[] {
  const kinds = ["string", "string", "number", "field", "variable", "word", "symbol"] as const;
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < action.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(action);
    if (match === null) throw templateError(`unexpected "${action.slice(at).trim().slice(0, 20)}" in "${action}"`);
    const index = match.slice(1).findIndex((group) => group !== undefined);
    // Space separates `f .A` from `f.A`; a field that touches what is before it continues it.
    const glued = match[0].length === match[index + 1]?.length && at > 0;
    tokens.push({
      kind: kinds[index] ?? "symbol",
      text: glued && index === 3 ? `+${match[4]}` : (match[index + 1] ?? ""),
    });
  }
  return tokens;
}

/** @throws {BerthError} InvalidArgument */
export function parseTemplate(source: string): readonly Node[] {
  const pieces = split(source);
  const parser = { pieces, at: 0 };
  const { nodes, ended } = parseNodes(parser, 0);
  if (ended !== undefined) throw templateError(`unexpected {{${ended}}}`);
  return nodes;
}

interface Cursor {
  readonly pieces: readonly Piece[];
  at: number;
}

/** Nodes up to `end`, `else` or the end of the template; `ended` is the action that stopped it. */
function parseNodes(
  cursor: Cursor,
  depth: number,
): { readonly nodes: readonly Node[]; readonly ended: string | undefined } {
  if (depth > 50) throw templateError("nested too deeply");
  const nodes: Node[] = [];
  for (;;) {
    const piece = cursor.pieces[cursor.at++];
    if (piece === undefined) return { nodes, ended: undefined };
    if ("text" in piece) {
      if (piece.text !== "") nodes.push({ kind: "text", text: piece.text });
      continue;
    }
    const { action } = piece;
    if (action.startsWith("/*")) continue;
    if (action === "end" || /^else\b/.test(action)) return { nodes, ended: action };
    const block = /^(if|with|range)\b/.exec(action)?.[1] as "if" | "with" | "range" | undefined;
    if (block === undefined) nodes.push({ kind: "print", pipe: parsePipe(tokenize(action), action) });
    else nodes.push(parseBlock(block, action.slice(block.length), cursor, depth + 1));
  }
}

function parseBlock(kind: "if" | "with" | "range", head: string, cursor: Cursor, depth: number): Node {
  const pipe = parsePipe(tokenize(head), head.trim());
  const { nodes: body, ended } = parseNodes(cursor, depth);
  if (ended === undefined) throw templateError(`{{${kind}}} without {{end}}`);
  if (ended === "end") return { kind, pipe, body, otherwise: [] };
  const chained = /^else\s+(if|with)\b(.*)$/s.exec(ended);
  if (chained !== null) {
    // `else if` shares the one `end` of its chain.
    const nested = parseBlock(chained[1] as "if" | "with", chained[2] ?? "", cursor, depth + 1);
    return { kind, pipe, body, otherwise: [nested] };
  }
  if (ended !== "else") throw templateError(`unexpected {{${ended}}}`);
  const rest = parseNodes(cursor, depth);
  if (rest.ended !== "end") throw templateError(`{{${kind}}} without {{end}}`);
  return { kind, pipe, body, otherwise: rest.nodes };
}

function parsePipe(tokens: readonly Token[], what: string): Pipe {
  const stream = { tokens, at: 0, what };
  const variables: string[] = [];
  const assign = tokens.findIndex((token) => token.text === ":=" || token.text === "=");
  if (assign >= 0) {
    for (const token of tokens.slice(0, assign)) {
      if (token.kind === "variable") variables.push(token.text);
      else if (token.text !== ",") throw templateError(`unexpected "${token.text}" in "${what}"`);
    }
    stream.at = assign + 1;
  }
  const commands = parseCommands(stream, 0);
  if (stream.at < tokens.length) throw templateError(`unexpected "${tokens[stream.at]?.text}" in "${what}"`);
  return { variables, declares: tokens[assign]?.text === ":=", commands };
}

interface Stream {
  readonly tokens: readonly Token[];
  at: number;
  readonly what: string;
}

function parseCommands(stream: Stream, depth: number): readonly (readonly Operand[])[] {
  if (depth > 50) throw templateError("nested too deeply");
  const commands: Operand[][] = [[]];
  for (;;) {
    const token = stream.tokens[stream.at];
    if (token === undefined || token.text === ")") break;
    if (token.text === "|" && token.kind === "symbol") {
      stream.at++;
      commands.push([]);
      continue;
    }
    commands.at(-1)?.push(parseOperand(stream, depth));
  }
  if (commands.some((command) => command.length === 0))
    throw templateError(`missing value for command in "${stream.what}"`);
  return commands;
}

function parseOperand(stream: Stream, depth: number): Operand {
  const token = stream.tokens[stream.at++] as Token;
  switch (token.kind) {
    case "string":
      return { kind: "literal", value: unquote(token.text) };
    case "number":
      return { kind: "literal", value: Number(token.text) };
    case "word":
      if (token.text === "true" || token.text === "false") return { kind: "literal", value: token.text === "true" };
      if (token.text === "nil") return { kind: "literal", value: null };
      return { kind: "function", name: token.text };
    case "variable":
      return { kind: "field", base: token.text, path: takePath(stream) };
    case "field":
      return { kind: "field", base: "dot", path: [token.text.replace(/^\+?\./, ""), ...takePath(stream)] };
    case "symbol":
      if (token.text === ".") return { kind: "field", base: "dot", path: [] };
      if (token.text === "(") {
        const commands = parseCommands(stream, depth + 1);
        if (stream.tokens[stream.at++]?.text !== ")") throw templateError(`unclosed left paren in "${stream.what}"`);
        return { kind: "field", base: { variables: [], declares: false, commands }, path: takePath(stream) };
      }
      throw templateError(`unexpected "${token.text}" in "${stream.what}"`);
  }
}

/** The fields that touch what is before them. */
function takePath(stream: Stream): readonly string[] {
  const path: string[] = [];
  while (stream.tokens[stream.at]?.text.startsWith("+.")) path.push(stream.tokens[stream.at++]?.text.slice(2) ?? "");
  return path;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  "0": "\0",
  "\\": "\\",
  '"': '"',
  "'": "'",
};

function unquote(text: string): string {
  const inner = text.slice(1, -1);
  if (text.startsWith("`")) return inner;
  return inner.replaceAll(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)/g, (_all, code: string) => {
    if (code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    const known = ESCAPES[code];
    if (known === undefined) throw templateError(`unknown escape \\${code} in ${text}`);
    return known;
  });
}
