// What every process of keel begins with: the build evaluates it, and the binary holds the heap that comes of it.
import { main } from "../commands/main.ts";

globalThis.keelMain = main;
