/**
 * The gate before byte code: reports what Duktape 2.7 cannot run or runs wrongly in lowered JavaScript.
 * `node scripts/es5-gate.ts FILE…` for files that are built already.
 */
import { readFileSync } from "node:fs";
import { parseSync } from "@swc/core";

/** Syntax that must be gone after lowering. */
const FORBIDDEN_NODES: Readonly<Record<string, string>> = {
  ArrowFunctionExpression: "arrow function",
  AwaitExpression: "await",
  BigIntLiteral: "bigint",
  ClassDeclaration: "class",
  ClassExpression: "class",
  ExportDeclaration: "export",
  ForOfStatement: "for…of",
  ImportDeclaration: "import",
  OptionalChainingExpression: "optional chaining",
  PrivateName: "#private",
  SpreadElement: "spread",
  TemplateLiteral: "template literal",
  YieldExpression: "generator",
};

/** Globals that do not exist there. */
const FORBIDDEN_GLOBALS: ReadonlySet<string> = new Set([
  ...[
    "AggregateError",
    "Atomics",
    "BigInt",
    "Intl",
    "Map",
    "Promise",
    "Set",
    "SharedArrayBuffer",
    "WeakMap",
    "WeakRef",
  ],
  ...["WeakSet", "clearTimeout", "console", "process", "require", "setTimeout", "structuredClone"],
]);

/** Methods of built-in objects that do not exist there, with names that are nothing else's. */
const FORBIDDEN_METHODS: ReadonlySet<string> = new Set([
  ...["copyWithin", "findLast", "findLastIndex", "flatMap", "fromEntries", "getOwnPropertyDescriptors", "hasOwn"],
  ...["matchAll", "padEnd", "padStart", "replaceAll", "toReversed", "toSorted", "trimEnd", "trimStart"],
]);

/** Binary operators and assignments newer than ES5. */
const FORBIDDEN_OPERATORS: ReadonlySet<string> = new Set(["**", "??", "**=", "??=", "&&=", "||="]);

interface Node {
  readonly type?: string;
  readonly [field: string]: unknown;
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value);

/** What is wrong with this node itself, if anything. */
function faultOf(node: Node): string | undefined {
  const type = node.type ?? "";
  const syntax = FORBIDDEN_NODES[type];
  if (syntax !== undefined) return `${syntax} is not lowered`;
  if (type === "VariableDeclaration" && node["kind"] !== "var") return `${String(node["kind"])} is not lowered`;
  if (node["async"] === true || node["isAsync"] === true) return "async function: there is no Promise";
  if (node["generator"] === true || node["isGenerator"] === true) return "generator function";
  if (type === "RegExpLiteral") return regexFault(String(node["pattern"]), String(node["flags"]));
  if (typeof node["operator"] === "string" && FORBIDDEN_OPERATORS.has(node["operator"])) {
    return `operator ${node["operator"]} is not lowered`;
  }
  return undefined;
}

function regexFault(pattern: string, flags: string): string | undefined {
  if (/[^gim]/.test(flags)) return `regular expression flags "${flags}": only g, i and m exist`;
  if (/\(\?<|\\p\{/.test(pattern)) return `regular expression /${pattern}/: no named group, look-behind or property`;
  return undefined;
}

function memberFault(node: Node): string | undefined {
  const property = node["property"];
  if (node.type !== "MemberExpression" || !isNode(property) || property.type !== "Identifier") return undefined;
  const name = String(property["value"]);
  return FORBIDDEN_METHODS.has(name) ? `method ${name} does not exist` : undefined;
}

/** Fields of a node whose identifiers are names, not references. */
function isName(parent: Node, field: string): boolean {
  if (parent.type === "MemberExpression")
    return field === "property" && (parent["property"] as Node).type !== "Computed";
  return field === "key" || field === "label";
}

/**
 * Every fault of one lowered script.
 *
 * @param code the script
 * @returns one line per fault, `<line>: <what>`; empty when Duktape can run it
 */
export function findEs5Faults(code: string): string[] {
  const bytes = Buffer.from(code);
  const program = parseSync(code, { syntax: "ecmascript", target: "es2022" });
  const origin = program.span.start;
  const declared = new Set<string>();
  const found: { readonly at: number; readonly text: string; readonly global?: string }[] = [];

  const visit = (node: Node, at: number): void => {
    const span = node["span"] as { readonly start: number } | undefined;
    const here = span === undefined || span.start === 0 ? at : span.start;
    const text = faultOf(node) ?? memberFault(node);
    if (text !== undefined) found.push({ at: here, text });
    if (node.type === "VariableDeclarator" && isNode(node["id"])) declared.add(String(node["id"]["value"]));
    if (node.type === "FunctionDeclaration" && isNode(node["identifier"]))
      declared.add(String(node["identifier"]["value"]));
    if (node.type === "Parameter" && isNode(node["pat"])) declared.add(String(node["pat"]["value"]));
    for (const [field, value] of Object.entries(node)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (!isNode(child)) continue;
        const name = child.type === "Identifier" ? String(child["value"]) : "";
        if (FORBIDDEN_GLOBALS.has(name) && !isName(node, field))
          found.push({ at: here, text: `${name} does not exist`, global: name });
        visit(child, here);
      }
    }
  };
  visit(program as unknown as Node, origin);
  const line = (at: number): number =>
    bytes
      .subarray(0, at - origin)
      .toString()
      .split("\n").length;
  return found
    .filter((fault) => fault.global === undefined || !declared.has(fault.global))
    .map((fault) => `${line(fault.at)}: ${fault.text}`);
}

if (import.meta.main) {
  for (const file of process.argv.slice(2)) {
    for (const fault of findEs5Faults(readFileSync(file, "utf8"))) {
      console.error(`${file}:${fault}`);
      process.exitCode = 1;
    }
  }
}
