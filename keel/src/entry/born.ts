// The container's first process, from its birth to its program. It loads this while its parent makes the cgroups.
import { initMain } from "../run/init.ts";

globalThis.keelBorn = initMain;
