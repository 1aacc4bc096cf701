import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A test's call with its name as a plain string, or as a template with the names of a loop right before it. */
const CALL = /^ *(?:t|test|void test)\(\s*(["`])((?:\\.|(?!\1)[^\\])*)\1/gms;
const LOOP = /for \(const name of (\[[^\]]*\])\) \{\s*$/;

/** Names of all tests of keel with the file each is in, below the root. */
export function findTests(root: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const file of globSync("keel/test/**/*.test.ts", { cwd: root }).sort()) {
    const text = readFileSync(join(root, file), "utf8");
    for (const match of text.matchAll(CALL)) {
      const name = (match[2] ?? "").replaceAll('\\"', '"');
      const loop = LOOP.exec(text.slice(0, match.index));
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a template in the source
      const parts = name.includes("${name}") && loop !== null ? (JSON.parse(loop[1] ?? "[]") as string[]) : undefined;
      // biome-ignore lint/suspicious/noTemplateCurlyInString: as above
      for (const part of parts ?? [""]) found.set(name.replace("${name}", part), file);
    }
  }
  return found;
}
