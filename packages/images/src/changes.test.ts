import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { planChanges } from "./changes.ts";

test("planChanges: instructions become settings, later ones over earlier", () => {
  const settings = planChanges([
    "CMD echo one",
    'cmd ["/bin/echo", "two"]',
    "ENTRYPOINT /start --now",
    "ENV A=1 B=\"two words\" C='x y'",
    "ENV A=2",
    "ENV OLD with blanks",
    'LABEL "made by"=me',
    "EXPOSE 80 53/udp",
    'VOLUME ["/a b", "/c"]',
    "VOLUME /d",
    "USER 1:2",
    "WORKDIR /srv",
    "STOPSIGNAL SIGINT",
  ]);
  assert.deepEqual(settings, {
    Cmd: ["/bin/echo", "two"],
    Entrypoint: ["/bin/sh", "-c", "/start --now"],
    Env: ["B=two words", "C=x y", "A=2", "OLD=with blanks"],
    Labels: { "made by": "me" },
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    Volumes: { "/a b": {}, "/c": {}, "/d": {} },
    User: "1:2",
    WorkingDir: "/srv",
    StopSignal: "SIGINT",
  });
});

test("planChanges: what is no change is refused with the line", () => {
  for (const line of ["", "CMD", "RUN true", "WORKDIR srv", "EXPOSE x", "ENV A", "LABEL a=1 b"])
    assert.throws(
      () => planChanges([line]),
      (error) => isCode(error, "InvalidArgument") && error.message.includes(JSON.stringify(line)),
      line,
    );
});
