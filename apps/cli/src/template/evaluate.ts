import { BerthError } from "@berth/base";
import { callFunction, isTrue, show } from "./functions.ts";
import { type Node, type Operand, type Pipe, parseTemplate } from "./parse.ts";

/**
 * A Go template, ready to be applied. Of the data, a `Map` is a Go map (a missing key shows `<no value>`), a plain object
 * a struct (a missing field is an error), and a function a method that is called with the arguments after it.
 */
export interface Template {
  /** @throws {BerthError} InvalidArgument when the template does not fit the data */
  render(data: unknown): string;
}

/** @throws {BerthError} InvalidArgument when the text is no template */
export function compileTemplate(source: string): Template {
  const nodes = parseTemplate(source);
  return { render: (data) => renderAll(nodes, { dot: data, variables: [new Map([["$", data]])] }) };
}

interface Scope {
  readonly dot: unknown;
  /** Innermost last. */
  readonly variables: readonly Map<string, unknown>[];
}

function inner(scope: Scope, dot: unknown): Scope {
  return { dot, variables: [...scope.variables, new Map()] };
}

function renderAll(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => render(node, scope)).join("");
}

function render(node: Node, scope: Scope): string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "print": {
      const value = evaluate(node.pipe, scope);
      return node.pipe.variables.length > 0 ? "" : show(value);
    }
    case "if": {
      const own = inner(scope, scope.dot);
      return renderAll(isTrue(evaluate(node.pipe, own)) ? node.body : node.otherwise, own);
    }
    case "with": {
      const own = inner(scope, scope.dot);
      const value = evaluate(node.pipe, own);
      return isTrue(value) ? renderAll(node.body, inner(own, value)) : renderAll(node.otherwise, own);
    }
    case "range":
      return renderRange(node, scope);
  }
}

function renderRange(node: Extract<Node, { kind: "range" }>, scope: Scope): string {
  const { variables } = node.pipe;
  const items = itemsOf(evaluate({ ...node.pipe, variables: [] }, scope));
  if (items.length === 0) return renderAll(node.otherwise, inner(scope, scope.dot));
  return items
    .map(([key, value]) => {
      const own = inner(scope, value);
      const [first, second] = variables;
      if (second !== undefined)
        own.variables
          .at(-1)
          ?.set(first ?? "", key)
          .set(second, value);
      else if (first !== undefined) own.variables.at(-1)?.set(first, value);
      return renderAll(node.body, own);
    })
    .join("");
}

function itemsOf(value: unknown): readonly (readonly [unknown, unknown])[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.map((item, i) => [i, item]);
  if (value instanceof Map) return [...value].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  if (typeof value === "number") return Array.from({ length: Math.min(value, 1e6) }, (_, i) => [i, i]);
  throw failed(`range can't iterate over ${show(value)}`);
}

function failed(why: string): BerthError {
  return new BerthError("InvalidArgument", `template: ${why}`);
}

function evaluate(pipe: Pipe, scope: Scope): unknown {
  let value: unknown;
  for (const [index, command] of pipe.commands.entries())
    value = runCommand(command, scope, index === 0 ? [] : [value]);
  for (const name of pipe.variables) {
    const holder = scope.variables.findLast((variables) => variables.has(name));
    if (!pipe.declares && holder === undefined) throw failed(`undefined variable "${name}"`);
    (pipe.declares ? scope.variables.at(-1) : holder)?.set(name, value);
  }
  return value;
}

/** @param piped the value from the left of the pipe, which becomes the last argument */
function runCommand(command: readonly Operand[], scope: Scope, piped: readonly unknown[]): unknown {
  const [head, ...rest] = command as readonly [Operand, ...Operand[]];
  const args = (): readonly unknown[] => [...rest.map((operand) => operandValue(operand, scope, [])), ...piped];
  if (head.kind === "function") {
    // `and` and `or` stop at the first operand that decides.
    if (head.name === "and" || head.name === "or") return decide(head.name === "or", rest, scope, piped);
    return callFunction(head.name, args());
  }
  if (head.kind === "literal") {
    if (rest.length + piped.length > 0) throw failed(`can't give argument to non-function ${show(head.value)}`);
    return head.value;
  }
  return operandValue(head, scope, args());
}

function decide(stopAt: boolean, rest: readonly Operand[], scope: Scope, piped: readonly unknown[]): unknown {
  let value: unknown;
  for (const operand of rest) {
    value = operandValue(operand, scope, []);
    if (isTrue(value) === stopAt) return value;
  }
  return piped.length > 0 ? piped[0] : value;
}

function operandValue(operand: Operand, scope: Scope, args: readonly unknown[]): unknown {
  switch (operand.kind) {
    case "literal":
      return operand.value;
    case "function":
      return callFunction(operand.name, args);
    case "field": {
      let value = baseOf(operand.base, scope);
      for (const [index, name] of operand.path.entries()) {
        value = fieldOf(value, name, index === operand.path.length - 1 ? args : []);
      }
      return value;
    }
  }
}

function baseOf(base: "dot" | string | Pipe, scope: Scope): unknown {
  if (base === "dot") return scope.dot;
  if (typeof base !== "string") return evaluate(base, scope);
  const holder = scope.variables.findLast((variables) => variables.has(base));
  if (holder === undefined) throw failed(`undefined variable "${base}"`);
  return holder.get(base);
}

function fieldOf(value: unknown, name: string, args: readonly unknown[]): unknown {
  if (value instanceof Map) return value.get(name);
  if (value === null || value === undefined) throw failed(`nil data; no entry for key "${name}"`);
  if (typeof value !== "object" || !Object.hasOwn(value, name)) throw failed(`can't evaluate field ${name}`);
  const field: unknown = (value as Readonly<Record<string, unknown>>)[name];
  if (typeof field === "function") return field(...args) as unknown;
  if (args.length > 0) throw failed(`${name} has arguments but cannot be invoked as function`);
  return field;
}
