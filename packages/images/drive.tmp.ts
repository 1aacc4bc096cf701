import * as C from "@berth/content";
import * as I from "@berth/images";
import * as S from "@berth/snapshots";
import { openState } from "@berth/state";

const root = process.env.ROOT ?? "/tmp/st2/data";
const t0 = performance.now();
const state = openState(root + "/berth.db", [...C.migrations, ...S.migrations, ...I.migrations]);
const content = C.openContent({ state, root });
const snapshots = S.openSnapshots({ state, root });
const images = I.createImages({
  state,
  content,
  snapshots,
  keelPath: process.env.KEEL ?? "/tmp/fakekeel",
  inUse: () => new Set(),
});
const t1 = performance.now();
const [cmd, ...a] = process.argv.slice(2);
try {
  const onProgress = (e) => {
    if (e.kind !== "download") console.error(e.kind, (e.digest ?? "").slice(7, 19));
  };
  const r =
    cmd === "pull"
      ? await images.pull(a[0], { onProgress, platform: a[1] })
      : cmd === "load"
        ? await images.load(a[0], { onProgress })
        : cmd === "rm"
          ? await images.remove(a[0])
          : cmd === "find"
            ? images.find(a[0])
            : images.list();
  const t2 = performance.now();
  console.log(JSON.stringify(r, null, 1).slice(0, 3000));
  console.log(
    "open",
    (t1 - t0).toFixed(2),
    "cmd",
    (t2 - t1).toFixed(2),
    process.moduleLoadList.filter((m) => /http|tls|child/.test(m)).length,
  );
} catch (e) {
  console.error(e.code, e.message, "| hint:", e.hint, e.code === undefined || e.code === "Internal" ? e : "");
  process.exitCode = 1;
}
