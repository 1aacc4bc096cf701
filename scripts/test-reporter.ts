/**
 * Reporter for `node --test`: one line per test that failed or was skipped (all tests with BERTH_TEST_VERBOSE=1), and
 * the counts as JSON in the file named by BERTH_TEST_COUNTS.
 */
import { appendFileSync } from "node:fs";
import type { TestEvent } from "node:test/reporters";
import { inspect } from "node:util";

/** What one run of `node --test` came to. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const verbose = process.env["BERTH_TEST_VERBOSE"] === "1";

function describeError(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause);
  return text.replaceAll(/^/gm, "      ");
}

/** Lines to print for the event; adds what it says to `counts`. */
function report(event: TestEvent, counts: Counts): string {
  if (event.type === "test:stdout" || event.type === "test:stderr") return event.data.message;
  if (event.type !== "test:pass" && event.type !== "test:fail") return "";
  const { name, details, skip, todo } = event.data;
  const suite = details.type === "suite";
  const time = `(${(details.duration_ms / 1000).toFixed(2)} s)`;
  if (event.type === "test:fail" && todo === undefined) {
    const error = "error" in details ? details.error : undefined;
    return reportFailure(`  FAIL  ${name} ${time}`, error, suite ? undefined : counts);
  }
  if (suite) return "";
  if (skip !== undefined || todo !== undefined) {
    counts.skipped += 1;
    return `  skip  ${name}: ${skip ?? todo}\n`;
  }
  counts.passed += 1;
  return verbose ? `  ok    ${name} ${time}\n` : "";
}

/** A suite or file fails because a test in it did, unless it broke by itself. */
function reportFailure(line: string, error: Error | undefined, counts: Counts | undefined): string {
  if (/subtests? failed/.test(error?.message ?? "")) return "";
  if (counts !== undefined) counts.failed += 1;
  return `${line}\n${describeError(error)}\n`;
}

async function* reporter(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const event of events) yield report(event, counts);
  const path = process.env["BERTH_TEST_COUNTS"];
  if (path !== undefined) appendFileSync(path, JSON.stringify(counts));
}

// biome-ignore lint/style/noDefaultExport: node --test takes a reporter from the default export
export default reporter;
