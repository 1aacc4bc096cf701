/** A process of its own that works on a store: `node child.ts ROOT pull|load|remove REF`. Prints what it unpacked. */
import { BerthError } from "@berth/base";
import { openStore } from "./store.ts";

const [root = "", command = "", ref = ""] = process.argv.slice(2);
const { images } = openStore(root);
const unpacked: string[] = [];
try {
  if (command === "remove") await images.remove(ref);
  else {
    await images[command === "load" ? "load" : "pull"](ref, {
      onProgress: (event) => {
        if (event.kind === "unpack") unpacked.push(event.digest);
      },
    });
  }
  console.log(JSON.stringify(unpacked));
} catch (error) {
  if (!(error instanceof BerthError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
