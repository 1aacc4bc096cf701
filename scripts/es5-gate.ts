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

/** Globals that do not exist there, or that keel's engine is built without (scripts/build-keel.ts). */
const FORBIDDEN_GLOBALS: ReadonlySet<string> = new Set([
  "AggregateError",
  "Atomics",
  "BigInt",
  "CBOR",
  "Date",
  "Intl",
  "Map",
  "Promise",
  "Proxy",
  "Reflect",
  "Set",
  "SharedArrayBuffer",
  "TextDecoder",
  "TextEncoder",
  "WeakMap",
  "WeakRef",
  "WeakSet",
  "clearTimeout",
  "console",
  "performance",
  "process",
  "require",
  "setTimeout",
  "structuredClone",
]);

/** Methods of built-in objects that do not exist there, with names that are nothing else's. */
const FORBIDDEN_METHODS: ReadonlySet<string> = new Set([
  "copyWithin",
  "findLast",
  "findLastIndex",
  "flatMap",
  "fromEntries",
  "getOwnPropertyDescriptors",
  "hasOwn",
  "matchAll",
  "padEnd",
  "padStart",
  "replaceAll",
  "toReversed",
  "toSorted",
  "trimEnd",
  "trimStart",
]);

/** Functions of Math that keel's engine is built without. */
export const FORBIDDEN_MATH: readonly string[] = ["acos", "asin", "atan", "cbrt", "cos", "log10", "log2", "sin", "tan"];

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
  const object = node["object"];
  if (isNode(object) && object["value"] === "Math" && FORBIDDEN_MATH.includes(name)) return `Math.${name} is left out`;
  return FORBIDDEN_METHODS.has(name) ? `method ${name} does not exist` : undefined;
}

/** Fields of a node whose identifiers are names, not references. */
function isName(parent: Node, field: string): boolean {
  if (parent.type === "MemberExpression")
    return field === "property" && (parent["property"] as Node).type !== "Computed";
  return field === "key" || field === "label";
}

/** The name that this node declares, if it declares one. */
function declaredBy(node: Node): string | undefined {
  const field = { VariableDeclarator: "id", Parameter: "pat" }[node.type ?? ""] ?? "identifier";
  const name = node[field];
  return isNode(name) && name.type === "Identifier" ? String(name["value"]) : undefined;
}

interface Fault {
  readonly at: number;
  readonly text: string;
  /** Only a fault if nothing of this name is declared in the script. */
  readonly global?: string;
}

/** Collects the faults and the declared names of the tree below `node`. */
function visit(node: Node, at: number, found: Fault[], declared: Set<string>): void {
  const span = node["span"] as { readonly start: number } | undefined;
  const here = span === undefined || span.start === 0 ? at : span.start;
  const text = faultOf(node) ?? memberFault(node);
  if (text !== undefined) found.push({ at: here, text });
  const own = declaredBy(node);
  if (own !== undefined) declared.add(own);
  for (const [field, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (!isNode(child)) continue;
      const global = child.type === "Identifier" && !isName(node, field) ? String(child["value"]) : "";
      if (FORBIDDEN_GLOBALS.has(global)) found.push({ at: here, text: `${global} does not exist`, global });
      visit(child, here, found, declared);
    }
  }
}

/**
 * Every fault of one lowered script.
 *
 * @param code the script
 * @returns one line per fault, `<line>: <what>`; empty when Duktape can run it
 */
export function findEs5Faults(code: string): string[] {
  // positions count from the program's first token: an empty statement puts that at the very beginning
  const text = `;${code}`;
  const bytes = Buffer.from(text);
  const program = parseSync(text, { syntax: "ecmascript", target: "es2022" });
  const origin = program.span.start;
  const declared = new Set<string>();
  const found: Fault[] = [];
  visit(program as unknown as Node, origin, found, declared);
  const line = (at: number): number => bytes.toString("utf8", 0, at - origin).split("\n").length;
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
